"""Batches of a data set, on the device that computes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from capslite.backend import Array, to_device
from capslite.data.augment import draw_shifts, shift
from capslite.data.dataset import Dataset
from capslite.errors import UserError


class Batches:
    """Cuts a data set into batches of images (B, H, W, C), float32 in [0, 1], and labels (B,).

    The data set moves to the device once, in its own dtype; batches are picked, shifted and scaled there. No
    image is left out: the last batch is as short as it has to be. Raises UserError for a batch size below 1.
    """

    def __init__(self, dataset: Dataset, batch_size: int, *, device: str = "cpu", max_shift: int = 0) -> None:
        if batch_size < 1:
            raise UserError(f"the batch size is {batch_size}; expected 1 or more")
        self.batch_size, self.max_shift, self.device = batch_size, max_shift, device
        self.images, self.labels = to_device(dataset.images, device), to_device(dataset.labels, device)
        self.scale = np.float32(1 / dataset.scale)

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def epoch(self, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
        """Yield every image once, in random order, shifted by up to ``max_shift`` pixels each way."""
        order = rng.permutation(len(self.images))
        shifts = draw_shifts(rng, len(order), self.max_shift)
        order, dy, dx = (to_device(a, self.device) for a in (order, *shifts))
        for part in self._parts():
            images = self.images[order[part]]
            if self.max_shift:
                images = shift(images, dy[part], dx[part])
            yield self._scaled(images), self.labels[order[part]]

    def in_order(self) -> Iterator[tuple[Array, Array]]:
        """Yield every image once, in the order of the data set, as it is."""
        for part in self._parts():
            yield self._scaled(self.images[part]), self.labels[part]

    def _parts(self) -> Iterator[slice]:
        for start in range(0, len(self.images), self.batch_size):
            yield slice(start, start + self.batch_size)

    def _scaled(self, images: Array) -> Array:
        return images.astype(np.float32) * self.scale
