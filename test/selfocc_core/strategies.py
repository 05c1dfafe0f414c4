"""Random geometry for hypothesis."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from selfocc_core.transforms import Transform, transform_from_quaternion

metres = st.floats(-200.0, 200.0, allow_nan=False)
points = st.tuples(metres, metres, metres).map(np.array)


@st.composite
def transforms(draw: st.DrawFn) -> Transform:
    quaternion = draw(
        st.tuples(*[st.floats(-1.0, 1.0, allow_nan=False)] * 4).filter(
            lambda q: np.linalg.norm(q) > 0.1
        )
    )
    return transform_from_quaternion(draw(points), quaternion)
