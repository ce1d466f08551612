"""Arrays: cells, latches and peripheral circuits that execute steps and count events."""
