"""One form for every data set."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from capslite.errors import UserError


@dataclass(frozen=True, eq=False)
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
            self._refuse(
                f"images have shape {self.images.shape}", "(N, H, W, C): reshape them, C is 1 if grey"
            )
        if self.images.dtype not in (np.uint8, np.float32):
            self._refuse(f"images are {self.images.dtype}", "uint8, or float32 from 0 to 1: convert them")
        count = len(self.images)
        if self.labels.shape != (count,) or self.labels.dtype != np.int64:
            self._refuse(
                f"labels are {self.labels.dtype} of shape {self.labels.shape}",
                f"int64 of shape ({count},): one number for each image, of the files that belong together",
            )
        if self.poses is not None and (
            self.poses.shape != (count, len(self.pose_names)) or self.poses.dtype != np.float32
        ):
            self._refuse(
                f"poses are {self.poses.dtype} of shape {self.poses.shape}",
                f"float32 of shape ({count}, {len(self.pose_names)}): a row an image, a column a pose name",
            )
        wrong = (self.labels < 0) | (self.labels >= self.classes)
        if wrong.any():
            first = int(wrong.argmax())
            self._refuse(
                f"the label of image {first} is {self.labels[first]}",
                f"0 to {self.classes - 1}: the file is damaged or of another data set, replace it",
            )
        if self.images.dtype == np.float32:
            self._check_pixels()

    def _check_pixels(self) -> None:
        wrong = ~((self.images >= 0) & (self.images <= 1))  # so that nan is wrong too
        if wrong.any():
            first = np.unravel_index(wrong.argmax(), wrong.shape)
            self._refuse(
                f"a pixel of image {first[0]} is {self.images[first]}",
                "0 to 1 in float32 images: divide them by their largest value",
            )

    def _refuse(self, came: str, expected: str) -> None:
        raise UserError(f"{self.name}: {came}; expected {expected}")

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
