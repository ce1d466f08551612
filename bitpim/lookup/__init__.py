"""Wing of lookup: memories that are searched, and logic inside memory."""
