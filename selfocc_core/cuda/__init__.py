"""CUDA in one small interface: devices, memory, streams, graphs and kernels."""
