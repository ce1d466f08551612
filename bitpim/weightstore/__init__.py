"""Weights in lines, cluster by cluster: packed, compressed, checked, and read back bit for bit."""
