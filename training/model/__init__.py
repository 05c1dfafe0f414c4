"""The network: images to a signed distance field (paper section 3.2)."""
