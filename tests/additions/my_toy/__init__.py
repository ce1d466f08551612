"""A package outside bitpim's tree that brings one machine along."""
