"""Looking at a drive and at what the node made of it."""
