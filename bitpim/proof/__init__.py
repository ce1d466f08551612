"""Proof: the referee, comparison with it and with float, and a machine against both."""
