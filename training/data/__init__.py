"""Sources of training data."""
