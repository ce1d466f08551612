"""What counted events cost: price tables, and counts times prices."""
