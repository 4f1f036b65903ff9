"""Data sets, one a file, all returning a :class:`Dataset` for training and one for testing."""

from __future__ import annotations

from pathlib import Path

from capslite.data.batches import Batches
from capslite.data.dataset import Dataset
from capslite.data.mnist import mnist
from capslite.data.posed_digits import posed_digits
from capslite.errors import UserError

__all__ = ["DATASETS", "Batches", "Dataset", "load_dataset", "mnist", "posed_digits"]

DATASETS = ("posed-digits", "mnist")


def load_dataset(name: str, data_dir: str | Path | None = None) -> tuple[Dataset, Dataset]:
    """Return the training and the test set of one of ``DATASETS``.

    ``data_dir`` is for those that are read from files; posed-digits are made, and refuse one (CAPSLITE_DATA,
    which is there for all data sets, they pass over). Raises UserError for that, for an unknown name, and for
    files that are missing or damaged.
    """
    if name == "mnist":
        return mnist(data_dir)
    if name != "posed-digits":
        raise UserError(f"the data set is {name!r}; choose one of {', '.join(DATASETS)}")
    if data_dir is not None:
        raise UserError("posed-digits are made on the spot and read no files: leave out --data-dir")
    return posed_digits()
