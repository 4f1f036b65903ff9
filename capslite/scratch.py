"""Large arrays whose memory is used again.

The system hands out fresh memory page by page and zeroed, which for the planes of a convolution costs as
much time as filling them. CuPy keeps a pool of its own; this is the same for NumPy: an array from
:func:`empty` gives its memory back to the pool when the last reference to it is gone.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import deque
from types import ModuleType

import numpy as np

from capslite.backend import Array

SMALLEST = 1 << 20  # bytes; below this the system's own allocator is as fast
LARGEST_FIT = 8  # times what was asked for: a layer may work in what another has left
FORGET_AFTER = 256  # loans: what lay unused for so long belonged to other shapes

_lock = threading.Lock()
_returned: deque[np.ndarray] = deque()  # a finalizer may run anywhere, so it only appends here
_free: list[tuple[int, np.ndarray]] = []  # (number of the loan after which it came back, memory)
_loans = 0


class _Loan:
    """Owns lent memory as an array's base, so that it dies with the array and all its views."""

    def __init__(self, memory: np.ndarray) -> None:
        self.__array_interface__ = memory.__array_interface__
        weakref.finalize(self, _returned.append, memory).atexit = False


def empty(xp: ModuleType, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Return an uninitialised array, as ``xp.empty`` does, from used memory where some is free."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if xp is not np or size < SMALLEST:
        return xp.empty(shape, dtype)
    return np.asarray(_Loan(_take(size)))[:size].view(dtype).reshape(shape)


def _take(size: int) -> np.ndarray:
    global _free, _loans
    with _lock:
        _loans += 1
        while _returned:
            _free.append((_loans, _returned.popleft()))
        sizes = [(len(memory), place) for place, (_, memory) in enumerate(_free)]
        fitting = [(length, place) for length, place in sizes if size <= length <= LARGEST_FIT * size]
        if fitting:
            return _free.pop(min(fitting)[1])[1]
        _free = [(loan, memory) for loan, memory in _free if loan > _loans - FORGET_AFTER]
    return np.empty(size, np.uint8)
