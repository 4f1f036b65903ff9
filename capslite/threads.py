"""Sharing work out to the cores of the processor.

NumPy lets go of Python's lock inside its big calls, so shards of a batch run in parallel on plain threads,
copies and elementwise lines included, which a multi-threaded BLAS alone would leave on one core. While
shards run, BLAS itself is held to one thread each.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Shard = TypeVar("Shard")
Result = TypeVar("Result")

_local = threading.local()


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count() -> int:
    """Return how many threads :func:`run_shards` uses here; 1 inside a shard."""
    return getattr(_local, "count", None) or available_cores()


@contextmanager
def use_threads(count: int | None) -> Iterator[None]:
    """Set the number of threads, ours and those of BLAS, within the block (None: one for each core)."""
    with _count_set(count), _blas().limit(limits=count or available_cores(), user_api="blas"):
        yield


@contextmanager
def _count_set(count: int | None) -> Iterator[None]:
    before = getattr(_local, "count", None)
    _local.count = count
    try:
        yield
    finally:
        _local.count = before


def run_shards(work: Callable[[Shard], Result], shards: Iterable[Shard]) -> list[Result]:
    """Return ``[work(shard) for shard in shards]``, run on :func:`thread_count` threads.

    The results come in the order of the shards whatever the timing, so a sum over them is always the same
    sum. Called inside a shard it runs in place: there is one level of threads.
    """
    shards = list(shards)
    count = min(thread_count(), len(shards))
    if count <= 1:  # BLAS may use all threads itself
        return [work(shard) for shard in shards]

    def alone(shard: Shard) -> Result:
        with _count_set(1):
            return work(shard)

    with _blas().limit(limits=1, user_api="blas"):
        return list(_pool(count).map(alone, shards))


def shards_of(length: int, size: int) -> list[slice]:
    """Return the slices that cut ``range(length)`` into nearly equal pieces of at most ``size``.

    The cut depends on the two numbers alone, never on the threads: so does every sum over the shards.
    """
    pieces = -(-length // size)
    edges = [length * piece // pieces for piece in range(pieces + 1)] if pieces else [0]
    return [slice(start, stop) for start, stop in zip(edges, edges[1:], strict=False)]


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="capslite")


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
