"""Layers laid out on arrays: where each part sits, which programs run, and how often."""
