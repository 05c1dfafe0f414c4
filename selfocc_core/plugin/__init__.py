"""Deformable attention for TensorRT: CUDA kernels, their compiler, and the plugin around them.

Two operators of the domain ``selfocc`` (version 1), each a plugin of the same name:
``MSDeformAttn(value, locations, weights)`` and the fused
``SurroundDeformAttn(value, references, visible, offsets, logits)``; the files in ``kernels`` say
what they compute. What is bool in the model is int32 here, as TensorRT gives plugins no bool.
A kernel is compiled for one specialization: every size is a constant in it.
"""
