"""The generated world: a procedural street, its renderer and its ground truth (no torch)."""
