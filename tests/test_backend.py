import sys

import numpy as np
import pytest

from capslite.backend import (
    array_module,
    describe_device,
    device_module,
    resolve_device,
    synchronize,
    to_device,
    to_numpy,
)
from capslite.errors import UserError


def test_the_module_comes_from_the_argument(device):
    x = device.asarray(np.zeros(3))
    assert array_module(x) is device.xp
    assert array_module(np.zeros(2), x) is device.xp
    assert device_module(device.name) is device.xp


def test_there_and_back(device):
    x = np.arange(6.0).reshape(2, 3)
    there = to_device(x, device.name)
    assert isinstance(there, device.xp.ndarray)
    np.testing.assert_array_equal(to_numpy(there), x)
    synchronize(device.name)


def test_the_device_is_described(device):
    assert describe_device(device.name).startswith("GPU (" if device.name == "gpu" else "CPU (NumPy)")


def test_auto_takes_the_gpu_where_there_is_one(device):
    if device.name == "gpu":
        assert resolve_device("auto") == "gpu"
        assert resolve_device("gpu") == "gpu"
    assert resolve_device("cpu") == "cpu"


def test_cupy_missing_has_its_own_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(UserError, match=r"CuPy is not installed: pip install 'capslite\[cuda13\]'"):
        resolve_device("gpu")


def test_cupy_without_a_gpu_has_its_own_sentence(monkeypatch):
    class CuPy:
        ndarray = type("ndarray", (), {})

        @staticmethod
        def is_available():
            return False

    monkeypatch.setitem(sys.modules, "cupy", CuPy)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(UserError, match="CuPy is installed, but it finds no CUDA GPU: check the driver"):
        resolve_device("gpu")


def test_an_unknown_device_is_named():
    with pytest.raises(UserError, match="the device is 'tpu'; choose one of auto, cpu, gpu"):
        resolve_device("tpu")
