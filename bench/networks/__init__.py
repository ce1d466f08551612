"""Real networks as traces, from weights that lie beside the project."""
