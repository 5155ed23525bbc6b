"""Watchers of a running datapath: checks, watermarks, digests, captures."""
