"""What runs on the vehicle: geometry, images, voxels, synchronisation and inference.

Imports neither torch nor rclpy.
"""

from __future__ import annotations

__version__ = '0.1.0'
