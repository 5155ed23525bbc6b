"""Evaluations: request, folder of a run, execution and result."""
