"""posed-digits: printed digits in known poses, made on the spot, without a network.

Every image is a digit of one of the type faces that come with matplotlib, turned, scaled, sheared, thickened
and moved at random, and the pose is recorded: so what a capsule has learned about pose can be held against
the truth. The test set is set in type faces that the training set does not have.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from capslite.data.dataset import Dataset

# All of matplotlib's faces that draw ten upright digits. (Others have none, or symbols in their place, or, as
# cmmi10, old-style figures that hang below the line.) An oblique is its upright face sheared, and these are
# sheared below: so the two go into the same set, and the test faces are of designs never seen in training.
TRAINING_FACES = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-BoldOblique",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSansMono-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-BoldItalic",
    "DejaVuSerif-Italic",
    "STIXGeneralBolIta",
    "STIXGeneralItalic",
    "cmb10",
    "cmti10",
)
TEST_FACES = ("STIXGeneral", "STIXGeneralBol", "cmr10", "cmss10", "cmtt10")

# name: (least, most, unit)
POSE_RANGES = {
    "rotation": (-25.0, 25.0, "degrees, counter-clockwise"),
    "scale": (0.75, 1.15, "of a digit 16 pixels high"),
    "shear": (-0.3, 0.3, "to the right, per pixel of height"),
    "thickness": (-0.25, 0.5, "pixels, added all round the stroke"),
    "x": (-3.0, 3.0, "pixels, to the right"),
    "y": (-3.0, 3.0, "pixels, downwards"),
}

SIDE = 28  # pixels of an image
HEIGHT = 16  # pixels of a digit of scale 1
DETAIL = 4  # pixels of a glyph's distance field to one of the image
FIELD = 26 * DETAIL  # side of that field


def posed_digits(train_size: int = 10_000, test_size: int = 2_000, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Return the training and the test set, images uint8 (N, 28, 28, 1), with their poses.

    ``pose_names`` are rotation (degrees), scale, shear, thickness, x and y (pixels); ``POSE_RANGES`` says
    from where to where, uniformly. The classes come equally often. The same seed gives the same bytes.
    """
    return (
        _split("posed-digits training set", TRAINING_FACES, train_size, np.random.default_rng([seed, 0])),
        _split("posed-digits test set", TEST_FACES, test_size, np.random.default_rng([seed, 1])),
    )


def _split(name: str, faces: tuple[str, ...], size: int, rng: np.random.Generator) -> Dataset:
    labels = rng.permutation(np.arange(size) % 10)
    face = rng.integers(0, len(faces), size)
    low, high, _ = zip(*POSE_RANGES.values(), strict=True)
    poses = rng.uniform(low, high, (size, len(POSE_RANGES))).astype(np.float32)
    images = np.empty((size, SIDE, SIDE, 1), np.uint8)
    fields = np.concatenate([distance_fields(face) for face in faces])
    for start in range(0, size, 1000):  # a thousand at a time, to need little memory
        part = slice(start, start + 1000)
        images[part, :, :, 0] = _draw(fields, face[part] * 10 + labels[part], poses[part])
    return Dataset(name, images, labels, tuple("0123456789"), poses, tuple(POSE_RANGES))


def _draw(fields: np.ndarray, glyphs: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Return uint8 images (N, SIDE, SIDE) of the glyphs (N,) in their poses (N, 6).

    Each pixel looks up, where the inverse of the pose takes it, how far it is from the glyph's edge.
    """
    angle, scale, shear, thickness, x, y = (column[:, None, None] for column in poses.T.astype(float))
    angle = np.deg2rad(angle)
    centre = (SIDE - 1) / 2
    right = np.arange(SIDE)[None, None, :] - centre - x
    up = centre + y - np.arange(SIDE)[None, :, None]
    # the pose is: shear, then turn, then scale; here they are undone from the last to the first
    across = (np.cos(angle) * right + np.sin(angle) * up) / scale
    along = (np.cos(angle) * up - np.sin(angle) * right) / scale
    across = across - shear * along
    middle = (FIELD - 1) / 2
    glyph = np.broadcast_to(glyphs[:, None, None], across.shape)
    places = glyph, middle - DETAIL * along, middle + DETAIL * across
    inside = ndimage.map_coordinates(fields, places, order=1, mode="nearest") * scale
    # a pixel is half covered where the edge runs through its middle, and not at all from half a pixel on
    coverage = np.clip(inside + thickness + 0.5, 0, 1)
    return np.round(255 * coverage).astype(np.uint8)


@cache
def distance_fields(face: str) -> np.ndarray:
    """Return (10, FIELD, FIELD): how far inside each digit's edge, in image pixels; outside negative."""
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{face}.ttf")
    font = ImageFont.truetype(path, 100)
    _, top, _, bottom = font.getbbox("0")
    font = ImageFont.truetype(path, 100 * HEIGHT * DETAIL / (bottom - top))
    fields = np.empty((10, FIELD, FIELD), np.float32)
    for digit in range(10):
        canvas = Image.new("L", (FIELD, FIELD))
        left, top, right, bottom = font.getbbox(str(digit))
        corner = (FIELD - left - right) / 2, (FIELD - top - bottom) / 2
        ImageDraw.Draw(canvas).text(corner, str(digit), fill=255, font=font)
        ink = np.asarray(canvas) > 127
        distance = ndimage.distance_transform_edt(ink) - ndimage.distance_transform_edt(~ink)
        # that was to the middle of the next pixel of the other kind: the edge is half a pixel nearer
        fields[digit] = (distance - 0.5 * np.sign(distance)) / DETAIL
    return fields
