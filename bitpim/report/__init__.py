"""What a run leaves behind: the result file, its error figures, tables and plots."""
