"""What the guarded parse is made of: bytes, limits, well-formedness, nodes."""
