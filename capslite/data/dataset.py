"""One form for every data set."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from capslite.errors import UserError


@dataclass(frozen=True)
class Dataset:
    """Images, what they show, and where known how it is posed.

    ``images`` (N, H, W, C) are uint8, where ``scale`` (255) is white, or float32 in [0, 1]; ``labels`` (N,)
    int64 count the ``class_names`` from 0; ``poses`` (N, P) float32 hold one number for each of the
    ``pose_names``, or are None. Raises UserError, naming the data set, if any of this does not hold.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    poses: np.ndarray | None = None
    pose_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.images.ndim != 4:
            raise UserError(f"{self.name}: images have shape {self.images.shape}; expected (N, H, W, C)")
        if self.images.dtype not in (np.uint8, np.float32):
            raise UserError(f"{self.name}: images are {self.images.dtype}; expected uint8, or float32 in [0, 1]")
        if self.labels.shape != (len(self.images),):
            raise UserError(
                f"{self.name}: {len(self.images)} images came with labels of shape {self.labels.shape}; "
                "expected one label an image"
            )
        self._check_first("label", self.labels, (self.labels < 0) | (self.labels >= self.classes), self.classes - 1)
        if self.images.dtype == np.float32:
            pixels = self.images.reshape(len(self), -1)
            outside = ~((pixels >= 0) & (pixels <= 1))
            self._check_first("a pixel of", pixels.max(axis=1, initial=0), outside.any(axis=1), 1)
        if self.poses is not None and self.poses.shape != (len(self), len(self.pose_names)):
            raise UserError(
                f"{self.name}: poses have shape {self.poses.shape}; expected ({len(self)}, {len(self.pose_names)})"
            )

    def _check_first(self, what: str, values: np.ndarray, wrong: np.ndarray, most: int) -> None:
        if wrong.any():
            index = int(wrong.argmax())
            raise UserError(
                f"{self.name}: {what} image {index} is {values[index]}; expected 0 to {most}: "
                "the file is damaged or not this data set, replace it"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.images.shape[1:]

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def scale(self) -> float:
        """The value of a white pixel: 255 or 1."""
        return 255.0 if self.images.dtype == np.uint8 else 1.0

    def subset(self, indices: np.ndarray | slice) -> Dataset:
        """Return the data set of some of the images, in the order of the indices."""
        poses = None if self.poses is None else self.poses[indices]
        return replace(self, images=self.images[indices], labels=self.labels[indices], poses=poses)
