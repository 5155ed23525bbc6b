"""Networks the simulator runs on, and where their weights come from."""
