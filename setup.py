"""Packaging for pip and for colcon (ament_python)."""

from __future__ import annotations

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = 'selfocc_ros'
ROS_WHEELS = {
    'rclpy': '7.1.6',
    'rmw-fastrtps-cpp': '8.4.3',
    'sensor-msgs': '5.3.6',
    'nav-msgs': '5.3.6',
    'diagnostic-msgs': '5.3.6',
    'std-srvs': '5.3.6',
    'visualization-msgs': '5.3.6',
}
SYNTH = ['embreex>=4.4; platform_machine == "x86_64"', 'numba>=0.60']


def version() -> str:
    """Return the version that selfocc_core declares."""
    text = Path(__file__).with_name('selfocc_core').joinpath('__init__.py').read_text()
    return text.split("__version__ = '")[1].split("'")[0]


setup(
    name=PACKAGE,
    version=version(),
    description='3-D occupancy from surround cameras, learned from video alone (SelfOcc)',
    license='Apache-2.0',
    author='selfocc_ros maintainers',
    maintainer='selfocc_ros maintainers',
    packages=find_packages(
        include=['selfocc_core*', 'selfocc_ros*', 'training*'], exclude=['test*']
    ),
    package_data={
        'selfocc_core': [
            'py.typed',
            'models/*.onnx',
            'models/*.json',
            'models/*.npz',
            'models/*.md',
            'plugin/kernels/*.cu',
            'plugin/kernels/*.cuh',
        ],
        'selfocc_ros': ['py.typed'],
        'training': ['py.typed'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        (f'share/{PACKAGE}/launch', [str(p) for p in sorted(Path('launch').glob('*.launch.py'))]),
        (f'share/{PACKAGE}/config', [str(p) for p in sorted(Path('config').glob('*.*'))]),
    ],
    python_requires='>=3.10',
    install_requires=[
        'numpy>=1.24',
        'scipy>=1.10',
        'opencv-python-headless>=4.8',
        'onnxruntime>=1.18',
        'rosbags>=0.11',
        'pydantic>=2.5',
        'pyyaml>=6',
        'rich>=13',
        'typing_extensions>=4.8',
        'tyro>=0.9',
    ],
    extras_require={
        # ROS 2 Jazzy without apt, x86-64 only; on a vehicle ROS comes from its own installation.
        'ros': [f'ros-jazzy-{name}=={pin}' for name, pin in ROS_WHEELS.items()]
        + ['ros-wheels-bootstrapper==0.1.2'],
        'synth': SYNTH,
        'train': ['torch>=2.5', 'onnx>=1.17', 'onnxscript>=0.3', *SYNTH],
        # To rewrite a model for TensorRT, on the device; TensorRT itself comes with JetPack.
        # Bindings of CUDA 13 call functions that the driver of JetPack 6 (12.6) does not have;
        # those of CUDA 12 work with both drivers.
        'tensorrt': ['onnx>=1.17', 'cuda-bindings>=12.6,<13'],
        'tensorboard': ['tensorboard>=2.14'],
        'clipseg': ['transformers', 'pillow'],
        'view': ['rerun-sdk>=0.23,<1'],
        'test': [
            'pytest>=8',
            'pytest-timeout>=2.3',
            'hypothesis>=6.100',
            'ruff>=0.9',
            'mypy>=1.14',
            'onnx>=1.17',
            # The compilers of JetPack 6 and of CUDA 13: kernels are compiled without a GPU.
            'nvidia-cuda-nvrtc-cu12==12.6.85; sys_platform == "linux"',
            'nvidia-cuda-nvrtc==13.0.88; sys_platform == "linux"',
            'cuda-bindings>=12.9,<13; sys_platform == "linux"',
            'types-PyYAML',
            'scipy-stubs',
        ],
    },
    entry_points={
        'console_scripts': [
            'selfocc = selfocc_core.cli:main',
            'surround_node = selfocc_ros.surround_node:main',
        ],
        'selfocc.verbs': [
            'build-engine = selfocc_core.engine.command:BuildEngine',
            'benchmark = training.benchmark.command:Benchmark',
            'convert = selfocc_core.datasets.command:Convert',
            'demo = selfocc_ros.demo:Demo',
            'device-check = selfocc_core.device_check.command:DeviceCheck',
            'doctor = selfocc_ros.doctor.command:Doctor',
            'evaluate = selfocc_ros.evaluate:Evaluate',
            'export = training.export:Export',
            'import-checkpoint = training.import_checkpoint:ImportCheckpoint',
            'pseudo-labels = training.data.pseudo_labels:PseudoLabels',
            'synth = training.data.synthetic.command:Synth',
            'train = training.command:Train',
            'view = selfocc_core.viewer.command:View',
        ],
    },
    zip_safe=False,
)
