"""Losses: photometric consistency of the video, and what a signed distance field must obey."""
