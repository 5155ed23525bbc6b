"""What joins `golden` and `models`: capturing rows, export, replay, gates, evidence, bench."""
