"""How good vectors, checks and RTL are: coverage, mutation, proof, cost."""
