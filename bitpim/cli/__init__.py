"""The command line: one module for each command; heavy imports stay inside the command bodies."""
