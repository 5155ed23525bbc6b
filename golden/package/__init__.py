"""Folders of vectors and of exported models: written whole, read, verified, compared."""
