"""Exact integer layers: what the logic beside the arrays computes, whatever the arrays are."""
