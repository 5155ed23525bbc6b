"""Stimulus with coverage: what is put into each unit, and why."""
