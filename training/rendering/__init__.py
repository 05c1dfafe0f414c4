"""Volume rendering of the signed distance field (paper section 3.2, NeuS)."""
