"""Shifts of up to a few pixels: the only augmentation the paper uses on MNIST."""

from __future__ import annotations

import numpy as np

from capslite.backend import Array, array_module


def draw_shifts(rng: np.random.Generator, count: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return dy and dx (count,), whole pixels from -most to most, each as likely."""
    dy, dx = rng.integers(-most, most + 1, (2, count))
    return dy, dx


def shift(images: Array, dy: Array, dx: Array) -> Array:
    """Return images (B, H, W, C) moved down by dy and right by dx (B,) whole pixels, zeros moved in.

    images, dy and dx live on one device.
    """
    xp, (_, height, width, _) = array_module(images), images.shape
    batch = xp.arange(len(images))[:, None, None]
    rows = xp.arange(height)[None, :, None] - dy[:, None, None]
    columns = xp.arange(width)[None, None, :] - dx[:, None, None]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    moved = images[batch, xp.clip(rows, 0, height - 1), xp.clip(columns, 0, width - 1)]
    return moved * inside[..., None].astype(images.dtype)
