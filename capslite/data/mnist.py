"""MNIST: 60,000 training and 10,000 test images of handwritten digits, 28 x 28 (LeCun, Cortes, Burges)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from capslite.data.dataset import Dataset
from capslite.data.files import RemoteFile, read_files
from capslite.data.idx import parse_idx

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def mnist(data_dir: str | Path | None = None) -> tuple[Dataset, Dataset]:
    """Return the training and the test set, images uint8 (N, 28, 28, 1).

    The four files are taken from ``data_dir`` or CAPSLITE_DATA, else downloaded; see
    :func:`capslite.data.files.read_files` for where they are looked for and what UserErrors it raises.
    """
    files = [
        RemoteFile(name, sha256, tuple(f"{mirror}{name}.gz" for mirror in MIRRORS))
        for name, sha256 in SHA256.items()
    ]
    train_images, train_labels, test_images, test_labels = read_files(files, "mnist", data_dir)
    return (
        _split("mnist training set", train_images, train_labels),
        _split("mnist test set", test_images, test_labels),
    )


def _split(name: str, images: bytes, labels: bytes) -> Dataset:
    pixels = parse_idx(images, f"{name}, images", dimensions=3)
    digits = parse_idx(labels, f"{name}, labels", dimensions=1)
    return Dataset(name, pixels[..., None], digits.astype(np.int64), tuple("0123456789"))
