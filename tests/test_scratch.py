import gc

import numpy as np

from capslite import scratch
from capslite.scratch import SMALLEST, empty

BIG = (SMALLEST // 4 + 5,)  # float32


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_once_nobody_holds_it(monkeypatch):
    monkeypatch.setattr(scratch, "_free", [])
    first = empty(np, BIG, np.float32)
    place = address(first)
    del first
    gc.collect()
    assert address(empty(np, BIG, np.float32)) == place


def test_memory_is_not_lent_twice_while_a_view_lives():
    """A view of a view keeps its loan: else two layers would write over each other."""
    first = empty(np, BIG, np.float32)
    view = first[10:][::2]
    view[...] = 7
    del first
    gc.collect()
    others = [empty(np, BIG, np.float32) for _ in range(3)]
    for other in others:
        other[...] = 0
    assert (view == 7).all()


def test_shape_and_dtype_are_as_asked():
    for shape, dtype in [((3, 700_000), np.float32), ((0, 5), np.float64), ((2, 2), np.float32), ((1_000_000,), np.float64)]:
        array = empty(np, shape, dtype)
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_memory_of_other_shapes_is_forgotten(monkeypatch):
    """A single huge batch must not hold its memory for ever after."""
    monkeypatch.setattr(scratch, "FORGET_AFTER", 3)
    monkeypatch.setattr(scratch, "_free", [])
    huge = empty(np, (64 * SMALLEST,), np.uint8)
    del huge
    gc.collect()
    held = [empty(np, (SMALLEST + n,), np.uint8) for n in range(8)]
    assert not any(len(memory) >= 64 * SMALLEST for _, memory in scratch._free)
    del held


def test_another_module_keeps_its_own_pool(device):
    array = empty(device.xp, (4, SMALLEST), np.float32)
    assert isinstance(array, device.xp.ndarray)
