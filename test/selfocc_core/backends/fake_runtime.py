"""A TensorRT whose engines compute with numpy in the memory of a fake device.

Every engine has the interface of the mock model of these tests, and computes ``sdf`` = mean of the
images and ``depth`` = sum of the projections + number of cameras that are missing, in one step for
each input and one that writes, with a buffer between them.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import numpy as np
from fake_cuda import FakeCuda

from selfocc_core.backends import ModelInputs

CAMERAS, HEIGHT, WIDTH, GRID, LATTICE = 2, 8, 12, (4, 4, 2), (2, 2, 3)
TENSORS = {
    'images': ((CAMERAS, HEIGHT, WIDTH, 3), 'uint8', 'input'),
    'image_from_ego': ((CAMERAS, 3, 4), 'float32', 'input'),
    'camera_mask': ((CAMERAS,), 'bool', 'input'),
    'sdf': (GRID, 'float32', 'output'),
    'depth': (LATTICE, 'float32', 'output'),
}


def inputs(seed: int = 0) -> ModelInputs:
    random = np.random.default_rng(seed)
    return ModelInputs(
        random.integers(0, 256, (CAMERAS, HEIGHT, WIDTH, 3), np.uint8),
        random.normal(size=(CAMERAS, 3, 4)).astype(np.float32),
        np.ones(CAMERAS, np.bool_),
    )


class FakeTensorRt(ModuleType):
    """The module ``tensorrt``, and what its engines shall do wrong.

    Attributes:
        refuses: ``execute_async_v3`` returns False, always ('ever') or in a capture ('capture').
        forgets: The steps that do not get into a capture: 1 to 4.
        tensors: Inputs and outputs of the engines.
        has_memory: Whether there is memory for an execution context.
        takes_memory: Whether tensors' addresses are accepted.
        plugin: What the engine's plugin does when a context is made and when it runs. As the
            bindings do, what it raises is printed and goes no further.
        says: What the log says when a context cannot be made or the engine does not run.
    """

    TensorIOMode = SimpleNamespace(INPUT='input', OUTPUT='output')
    ILogger = type(
        'ILogger', (), {'Severity': SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, VERBOSE=4)}
    )
    __version__ = '10.3.0'

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__('tensorrt')
        self.cuda, self.refuses, self.forgets = cuda, '', ()
        self.tensors, self.has_memory, self.takes_memory = dict(TENSORS), True, True
        self.nptype = np.dtype
        self.enqueued = 0
        self.plugin: Callable[[], object] = lambda: None
        self.says, self._logger = '', None

    def calls_plugin(self) -> bool:
        """Return whether the plugin did what it was asked."""
        try:
            self.plugin()
        except Exception as error:
            print(f'[ERROR] Exception thrown from enqueue() {error}', file=sys.stderr)
            return False
        return True

    def refuse(self) -> None:
        if self.says:
            self._logger.log(self.ILogger.Severity.ERROR, self.says)

    def Runtime(self, logger):  # noqa: N802
        self._logger = logger

        def deserialize(content: bytes):
            assert self.cuda.stack, 'there is no current context'
            if content.startswith(b'engine'):
                return FakeEngine(self)
            logger.log(self.ILogger.Severity.ERROR, 'magic tag does not match')
            return None

        return SimpleNamespace(deserialize_cuda_engine=deserialize)


class FakeEngine:
    def __init__(self, trt: FakeTensorRt) -> None:
        self._trt = trt
        self.num_io_tensors = len(trt.tensors)

    def get_tensor_name(self, index):
        return list(self._trt.tensors)[index]

    def get_tensor_shape(self, name):
        return self._trt.tensors[name][0]

    def get_tensor_dtype(self, name):
        return self._trt.tensors[name][1]

    def get_tensor_mode(self, name):
        return self._trt.tensors[name][2]

    def create_execution_context(self):
        if self._trt.has_memory and self._trt.calls_plugin():
            return FakeContext(self._trt)
        self._trt.refuse()
        return None


class FakeContext:
    def __init__(self, trt: FakeTensorRt) -> None:
        self._trt = trt
        self._addresses: dict[str, int] = {}
        self._between = np.zeros(3, np.float32)

    def set_tensor_address(self, name, address):
        self._addresses[name] = address
        return self._trt.takes_memory

    def execute_async_v3(self, stream):
        trt, captures = self._trt, self._trt.cuda.capturing is not None
        assert trt.cuda.open[stream] == 'stream'
        refused = trt.refuses == 'ever' or (trt.refuses == 'capture' and captures)
        if refused or not trt.calls_plugin():
            trt.refuse()
            return False
        trt.enqueued += 1
        steps = (self._images, self._projections, self._mask, self._outputs)
        for number, step in enumerate(steps, 1):
            if not (captures and number in trt.forgets):
                trt.cuda.enqueue(step)
        return True

    def _images(self):
        self._between[0] = self._array('images').mean()

    def _projections(self):
        self._between[1] = self._array('image_from_ego').sum()

    def _mask(self):
        self._between[2] = (~self._array('camera_mask')).sum()

    def _outputs(self):
        self._array('sdf')[:], self._array('depth')[:] = self._between[0], self._between[1:].sum()

    def _array(self, name):
        shape, kind, _ = self._trt.tensors[name]
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        memory = (ctypes.c_uint8 * size).from_address(self._addresses[name])
        return np.frombuffer(memory, kind).reshape(shape)
