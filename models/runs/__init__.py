"""Evaluations: what is asked for, the folder of a run, its execution and its result."""
