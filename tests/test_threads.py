import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from capslite.threads import available_cores, run_shards, shards_of, thread_count, use_threads


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@given(length=st.integers(0, 100), size=st.integers(1, 40))
def test_shards_cover_everything_once(length, size):
    shards = shards_of(length, size)
    assert [i for shard in shards for i in range(length)[shard]] == list(range(length))
    widths = [shard.stop - shard.start for shard in shards]
    assert all(0 < width <= size for width in widths)
    assert max(widths, default=0) - min(widths, default=0) <= 1


def test_results_come_in_the_order_of_the_shards():
    """A sum over shards is rounded the same way every time only if its order is."""
    meet = threading.Barrier(2, timeout=10)

    def second_first(shard):
        if shard == 0:
            meet.wait()  # shard 1 is done by then
        elif shard == 1:
            meet.wait()
        return shard

    with use_threads(2):
        assert run_shards(second_first, range(6)) == list(range(6))


def test_blas_has_one_thread_for_each_of_ours_and_its_own_number_afterwards():
    before = blas_threads()
    with use_threads(2):
        inside = run_shards(lambda shard: blas_threads(), range(2))
    assert inside == [{1}, {1}]
    assert blas_threads() == before


def test_one_thread_means_one_thread_for_blas_too():
    with use_threads(1):
        assert run_shards(lambda shard: blas_threads(), range(2)) == [{1}, {1}]


def test_shards_within_shards_run_in_place():
    with use_threads(2):
        names = run_shards(
            lambda shard: {threading.current_thread().name, *run_shards(lambda s: threading.current_thread().name, range(3))},
            range(2),
        )
    assert all(len(name) == 1 for name in names)


def test_the_number_of_threads_is_set_for_a_block():
    assert thread_count() == available_cores()
    with use_threads(3):
        assert thread_count() == 3
        with use_threads(None):
            assert thread_count() == available_cores()
    assert thread_count() == available_cores()


def test_an_error_in_a_shard_reaches_the_caller():
    def fail(shard):
        raise ValueError(f"shard {shard}")

    with use_threads(2), pytest.raises(ValueError, match="shard 0"):
        run_shards(fail, range(2))
    assert np.ones((2, 2)) @ np.ones(2) is not None
