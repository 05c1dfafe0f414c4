"""The ROS 2 node: messages in and out, parameters, lifecycle, diagnostics.

Imports neither torch nor training.
"""
