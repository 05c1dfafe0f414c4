"""What a machine can do with a model: versions, kernels, engines, latency, in one report."""
