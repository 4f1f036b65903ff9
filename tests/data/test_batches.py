import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import draws

from capslite.data import Batches, Dataset
from capslite.errors import UserError

NAMES = tuple(map(str, range(250)))


def numbered(count, dtype=np.uint8):
    """Images of 1 x 1 pixel, each of its own value, which is its label too."""
    values = np.arange(count)
    images = (values / (1 if dtype == np.uint8 else 255)).astype(dtype).reshape(count, 1, 1, 1)
    return Dataset("numbers", images, values, NAMES)


def joined(device, batches):
    images, labels = zip(*batches, strict=True)
    assert all(isinstance(array, device.xp.ndarray) for array in images + labels)
    return [np.concatenate([device.to_numpy(array) for array in arrays]) for arrays in (images, labels)]


@given(
    count=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    dtype=st.sampled_from([np.uint8, np.float32]),
    seed=draws.seeds,
)
def test_an_epoch_shows_every_image_once_with_its_label(device, count, batch_size, dtype, seed):
    """No short last batch is dropped, in training or, worse, in a test; images and labels move together."""
    batches = Batches(numbered(count, dtype), batch_size, device=device.name)
    for one_pass in (batches.epoch(np.random.default_rng(seed)), batches.in_order()):
        parts = list(one_pass)
        assert len(parts) == len(batches)
        assert all(len(images) == batch_size for images, _ in parts[:-1])
        images, labels = joined(device, parts)
        np.testing.assert_array_equal(np.sort(labels), np.arange(count), strict=True)
        assert images.dtype == np.float32
        np.testing.assert_array_equal(np.round(images[:, 0, 0, 0] * 255), labels)
    np.testing.assert_array_equal(labels, np.arange(count))  # of in_order


def test_white_is_exactly_one():
    """A decoder ends in a sigmoid, and cannot reach what lies above 1."""
    images = np.full((1, 2, 2, 1), 255, np.uint8)
    [(batch, _)] = Batches(Dataset("white", images, np.zeros(1, int), NAMES), 4).in_order()
    assert (batch == 1).all()


def test_the_data_set_stays_small_where_it_is_kept(device):
    """As float32 the images of MNIST would take four times the memory, and four times the time to gather."""
    assert Batches(numbered(3), 2, device=device.name).images.dtype == np.uint8


def test_the_generator_decides_order_and_shifts(device):
    """Seeded alike, two runs see the same; two epochs of one run do not."""
    batches = Batches(numbered(200), 32, device=device.name, max_shift=1)
    rng, same = np.random.default_rng(7), np.random.default_rng(7)
    first, second, again = (joined(device, batches.epoch(r)) for r in (rng, rng, same))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[1] != second[1]).any()
    assert (np.diff(first[1]) != 1).any()


def test_shifts_reach_as_far_as_asked_in_training_and_nowhere_else(device):
    """Augmentation left on in a test makes its error another quantity."""
    images = np.zeros((250, 7, 7, 1), np.uint8)
    images[:, 3, 3] = 255
    dataset = Dataset("dots", images, np.arange(250), NAMES)
    batches = Batches(dataset, 100, device=device.name, max_shift=2)
    moved, _ = joined(device, batches.epoch(np.random.default_rng(0)))
    where = {(int(y) - 3, int(x) - 3) for y, x in np.argwhere(moved[..., 0])[:, 1:]}
    assert where == {(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)}
    still, _ = joined(device, batches.in_order())
    np.testing.assert_array_equal(still, images / np.float32(255))


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_nothing_is_one_sentence(batch_size):
    with pytest.raises(UserError, match=f"^the batch size is {batch_size}; expected 1 or more"):
        Batches(numbered(3), batch_size)
