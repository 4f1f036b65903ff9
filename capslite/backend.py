"""Where arrays live: NumPy on the processor, CuPy on the GPU.

Ops never ask for a device. They take the module that made their argument, ``xp = array_module(x)``, and
write NumPy with it; CuPy answers to the same names. This file and kernels.py are the only two that know
CuPy, and CuPy is imported only when somebody asks for the GPU.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

from capslite.errors import UserError

# NumPy's ndarray or CuPy's: the two share no base class a type checker could name.
Array = Any

DEVICES = ("auto", "cpu", "gpu")


def array_module(*arrays: Array) -> ModuleType:
    """Return ``cupy`` if any of the arrays lives on the GPU, else ``numpy``."""
    cupy = sys.modules.get("cupy")
    if cupy is not None and any(isinstance(array, cupy.ndarray) for array in arrays):
        return cupy
    return np


def device_module(device: str) -> ModuleType:
    """Return the array module of a resolved device: ``numpy`` for "cpu", ``cupy`` for "gpu"."""
    return _import_cupy() if device == "gpu" else np


def resolve_device(device: str) -> str:
    """Turn "auto", "cpu" or "gpu" into "cpu" or "gpu".

    "auto" takes the GPU where CuPy finds one. Raises UserError when "gpu" is asked for and CuPy is not
    installed, or finds no GPU, and for any other name.
    """
    if device not in DEVICES:
        raise UserError(f"the device is {device!r}; choose one of {', '.join(DEVICES)}")
    if device == "cpu":
        return "cpu"
    try:
        cupy = _import_cupy()
    except UserError:
        if device == "gpu":
            raise
        return "cpu"
    if cupy.is_available():
        return "gpu"
    if device == "gpu":
        raise UserError(
            "device 'gpu' was asked for and CuPy is installed, but it finds no CUDA GPU: "
            "check the driver with nvidia-smi, or use --device cpu"
        )
    return "cpu"


def describe_device(device: str) -> str:
    """Return one line for people: which processor a resolved device computes on."""
    if device == "cpu":
        return "CPU (NumPy)"
    cupy = device_module(device)
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    return f"GPU ({properties['name'].decode()}, CuPy {cupy.__version__})"


def to_device(array: Array, device: str) -> Array:
    """Return the NumPy array on the resolved device; a copy only if it has to move."""
    return device_module(device).asarray(array)


def to_numpy(array: Array) -> np.ndarray:
    """Return the array on the host, waiting for the device if it lives on one."""
    return array if array_module(array) is np else array.get()


def synchronize(device: str) -> None:
    """Wait until the device has finished all it was given; the CPU always has."""
    if device == "gpu":
        device_module(device).cuda.get_current_stream().synchronize()


def _import_cupy() -> ModuleType:
    try:
        import cupy
    except ImportError as error:
        raise UserError(
            "device 'gpu' was asked for, but CuPy is not installed: "
            "pip install 'capslite[cuda13]' (or cuda12, whichever the driver supports), or use --device cpu"
        ) from error
    return cupy
