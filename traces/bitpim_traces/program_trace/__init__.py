"""Program traces: steps that one array takes, what it holds before, what it must hold after.

A kind of file of its own, `bitpim.program`; PROGRAMS.md describes it. What a step means is said by
the array that takes it; here are the file and its form.
"""
