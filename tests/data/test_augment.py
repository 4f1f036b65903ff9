import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support import draws

from capslite.data.augment import draw_shifts, shift


def shift_by_loops(images, dy, dx):
    moved = np.zeros_like(images)
    batch, height, width, _ = images.shape
    for b, y, x in np.ndindex(batch, height, width):
        if 0 <= y + dy[b] < height and 0 <= x + dx[b] < width:
            moved[b, y + dy[b], x + dx[b]] = images[b, y, x]
    return moved


@given(
    shape=st.tuples(draws.batches, st.integers(1, 6), st.integers(1, 6), st.integers(1, 3)),
    dtype=st.sampled_from([np.uint8, np.float32]),
    seed=draws.seeds,
)
def test_every_image_moves_its_own_way_and_zeros_move_in(device, shape, dtype, seed):
    """Against one loop over the pixels, also by more than the whole image; nothing wraps around."""
    rng = np.random.default_rng(seed)
    images = rng.integers(1, 256, shape).astype(dtype)
    before = images.copy()
    dy, dx = rng.integers(-8, 9, (2, shape[0]))
    moved = shift(device.asarray(images), device.asarray(dy), device.asarray(dx))
    np.testing.assert_array_equal(device.to_numpy(moved), shift_by_loops(images, dy, dx), strict=True)
    np.testing.assert_array_equal(images, before)


def test_down_and_right_are_positive():
    image = np.zeros((1, 5, 5, 1), np.uint8)
    image[0, 2, 2] = 1
    assert shift(image, np.array([1]), np.array([2]))[0, 3, 4, 0] == 1


def test_all_25_shifts_of_up_to_two_pixels_are_as_likely():
    """An open upper end, as in range(), would leave out the shifts to the right and down."""
    dy, dx = draw_shifts(np.random.default_rng(0), 25_000, 2)
    counts = np.zeros((5, 5), int)
    np.add.at(counts, (dy + 2, dx + 2), 1)
    assert np.abs(counts - 1000).max() < 150  # about five standard deviations
