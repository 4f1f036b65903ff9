import gzip
import hashlib
import importlib
import os
import struct

import numpy as np
import pytest

from capslite.data import mnist
from capslite.errors import UserError

MODULE = importlib.import_module("capslite.data.mnist")  # capslite.data.mnist itself is the function
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28)).astype(np.uint8)
LABELS = np.array([3, 0, 9, 9, 1], np.uint8)


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the four files into a directory, make their checksums the expected ones, and return it."""

    def write(**changed):
        arrays = {
            "train-images-idx3-ubyte": idx(IMAGES),
            "train-labels-idx1-ubyte": idx(LABELS),
            "t10k-images-idx3-ubyte": idx(IMAGES[:2]),
            "t10k-labels-idx1-ubyte": idx(LABELS[:2]),
        }
        replaced = {name.replace("_", "-"): content for name, content in changed.items()}
        for name, content in (arrays | replaced).items():
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
            monkeypatch.setitem(MODULE.SHA256, name, hashlib.sha256(content).hexdigest())
        return tmp_path

    return write


def test_the_files_become_two_data_sets(write):
    train, test = mnist(write())
    np.testing.assert_array_equal(train.images, IMAGES[..., None])
    np.testing.assert_array_equal(train.labels, LABELS)
    np.testing.assert_array_equal(test.images, IMAGES[:2, ..., None])
    np.testing.assert_array_equal(test.labels, LABELS[:2])
    assert train.class_names == tuple("0123456789")
    assert train.name != test.name


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"train_labels_idx1_ubyte": idx(np.array([3, 0, 10, 9, 1], np.uint8))},
            "label of image 2 is 10; expected 0 to 9",
        ),
        (
            {"train_labels_idx1_ubyte": idx(LABELS[:4])},
            "training set: labels are int64 of shape (4,); expected",
        ),
        ({"t10k_labels_idx1_ubyte": idx(LABELS)}, "test set: labels are int64 of shape (5,); expected"),
        ({"t10k_images_idx3_ubyte": idx(LABELS)}, "begins with 00000801; expected 00000803"),
        ({"train_images_idx3_ubyte": idx(IMAGES)[:-1]}, "3,935 bytes long, expected 3,936 by its header"),
    ],
)
def test_files_that_do_not_fit_are_one_sentence(write, changed, sentence):
    """The checksum stops these first; the checks behind it hold on their own, as other data sets need."""
    with pytest.raises(UserError) as caught:
        mnist(write(**changed))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("train-labels-idx1-ubyte", LABELS[::-1]),
        ("train-images-idx3-ubyte", IMAGES[:, :27]),
        ("t10k-images-idx3-ubyte", IMAGES),
    ],
)
def test_a_wrong_file_under_the_right_name_is_refused(write, name, array):
    """Another order, images of another size, another number of them: each a sound IDX file."""
    directory = write()
    (directory / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    with pytest.raises(UserError, match=rf"{name}\.gz is damaged or another file"):
        mnist(directory)


@pytest.mark.skipif(
    "CAPSLITE_DATA" not in os.environ, reason="CAPSLITE_DATA names no directory with the MNIST files"
)
def test_the_real_files_hold_what_is_known_of_them():
    """Counts of the classes, and the mean and deviation of the pixels that everybody normalises with."""
    train, test = mnist()
    assert train.images.shape == (60_000, 28, 28, 1)
    assert test.images.shape == (10_000, 28, 28, 1)
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert train.images.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert train.images.std() / 255 == pytest.approx(0.3081, abs=1e-4)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
