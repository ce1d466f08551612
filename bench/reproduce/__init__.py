"""One script a paper: its numbers recomputed, beside those it prints."""
