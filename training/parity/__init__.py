"""Comparison with recorded arrays of the original system, number by number."""
