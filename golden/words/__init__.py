"""Words of vectors: their fields, rows of them, and the files that hold them."""
