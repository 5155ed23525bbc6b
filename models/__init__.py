"""Networks the simulator runs on, their images, and where their weights come from."""
