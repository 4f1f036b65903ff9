import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from capslite.data.posed_digits import (
    DETAIL,
    HEIGHT,
    POSE_RANGES,
    TEST_FACES,
    TRAINING_FACES,
    distance_fields,
    posed_digits,
)


@pytest.fixture(scope="module")
def digits():
    return posed_digits(5_000, 1_000)


DIGEST = """
import hashlib
from capslite.data import posed_digits
train, test = posed_digits(300, 100, seed=3)
arrays = [train.images, train.labels, train.poses, test.images, test.labels, test.poses]
digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
"""


def test_the_same_seed_gives_the_same_bytes_in_another_process():
    """Nothing may hang on the order of a set, on what was drawn before, or on what the cache holds."""
    posed_digits(10, 10)
    here = {}
    exec(DIGEST, here)
    command = [sys.executable, "-c", DIGEST + "print(digest)"]
    assert (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == here["digest"]
    )


def test_seeds_and_sets_differ_and_the_sizes_do_not_meddle():
    """A test set that changed with the number of training images could not be compared."""
    train, test = posed_digits(100, 100)
    assert (train.poses != test.poses).any()
    assert (train.poses != posed_digits(100, 100, seed=1)[0].poses).any()
    np.testing.assert_array_equal(posed_digits(50, 100)[1].images, test.images)


def test_every_class_comes_as_often(digits):
    for dataset in digits:
        assert (np.bincount(dataset.labels) == len(dataset) // 10).all()


def test_poses_lie_in_their_ranges_and_fill_them(digits):
    for dataset in digits:
        assert dataset.pose_names == tuple(POSE_RANGES)
        for column, (low, high, _) in zip(dataset.poses.T, POSE_RANGES.values(), strict=True):
            assert low <= column.min() < low + 0.01 * (high - low)
            assert high >= column.max() > high - 0.01 * (high - low)


def test_digits_can_be_seen_and_are_not_cut_by_the_frame(digits):
    for dataset in digits:
        images = dataset.images[..., 0].astype(float)
        assert images.max(axis=(1, 2)).min() > 150
        inner = images[:, 1:-1, 1:-1].sum(axis=(1, 2))
        assert (inner / images.sum(axis=(1, 2))).min() > 0.95


@pytest.mark.parametrize("face", TRAINING_FACES + TEST_FACES)
def test_every_face_has_ten_upright_digits(face):
    """Boxes in place of digits are alike, symbols and old-style figures of odd heights."""
    ink = distance_fields(face) > 0
    heights = ink.any(axis=2).sum(axis=1) / DETAIL
    assert (np.abs(heights - HEIGHT) <= 0.25 * HEIGHT).all()  # the 4 of cmti10 is 20 pixels high, most are 16
    assert max(overlap(ink[a], ink[b]) for a in range(10) for b in range(a)) < 0.85


def test_no_test_face_is_a_training_face_sheared():
    """Training images are sheared, so an oblique in the test set would have been seen as its upright face."""
    assert not set(TRAINING_FACES) & set(TEST_FACES)
    assert twin_overlap("DejaVuSans", "DejaVuSans-Oblique") > 0.85  # this is what it would look like
    for test_face in TEST_FACES:
        assert max(twin_overlap(test_face, face) for face in TRAINING_FACES) < 0.8


def twin_overlap(face, other):
    """How far the digits of two faces cover one another, at the shear that suits them best."""
    fields, inks = distance_fields(face)[:, ::2, ::2], distance_fields(other)[:, ::2, ::2] > 0
    rows, columns = np.indices(fields.shape[1:]) - (fields.shape[1] - 1) / 2
    best = 0.0
    for shear in np.linspace(-0.3, 0.3, 7):
        places = [rows - rows.min(), columns + shear * rows - columns.min()]
        sheared = [ndimage.map_coordinates(field, places, order=1, mode="nearest") > 0 for field in fields]
        best = max(best, np.mean([overlap(a, b) for a, b in zip(sheared, inks, strict=True)]))
    return best


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


# The poses are held against the moments of the images: centre of mass, and spread around it.


@pytest.fixture(scope="module")
def moments(digits):
    """Mass, centre (right, down), and spread across, along and mixed (right, up) of the training images."""
    images = digits[0].images[..., 0] / 255
    mass = images.sum(axis=(1, 2))
    down, right = np.indices((28, 28)) - 13.5
    centre = [(images * places).sum(axis=(1, 2)) / mass for places in (right, down)]
    across = right - centre[0][:, None, None]
    up = centre[1][:, None, None] - down
    spread = [(images * product).sum(axis=(1, 2)) / mass for product in (across**2, up**2, across * up)]
    return mass, *centre, *spread


def slopes(target, poses, names):
    """The slopes of the plane through the target over the poses of these names."""
    columns = [poses[:, list(POSE_RANGES).index(name)] for name in names]
    return np.linalg.lstsq(np.stack([*columns, np.ones(len(poses))], axis=1), target, rcond=None)[0][:-1]


def test_x_moves_right_and_y_down_by_their_pixels(digits, moments):
    _, right, down, *_ = moments
    names = ("x", "y", "rotation", "scale", "shear", "thickness")
    assert slopes(right, digits[0].poses, names)[:2] == pytest.approx([1, 0], abs=0.03)
    assert slopes(down, digits[0].poses, names)[:2] == pytest.approx([0, 1], abs=0.03)


def test_scale_is_the_size(digits, moments):
    """The spread along the height grows as its square."""
    poses = digits[0].poses.copy()
    poses[:, 1] = np.log(poses[:, 1])
    *_, along, _ = moments
    assert slopes(np.log(along), poses, ("scale",)) == pytest.approx([2], abs=0.15)


def test_rotation_is_counter_clockwise_and_shear_leans_to_the_right(digits, moments):
    """A turned one leans by minus the tangent of the angle, a sheared one by the shear."""
    ones = digits[0].labels == 1
    poses = digits[0].poses[ones].copy()
    poses[:, 0] = np.tan(np.deg2rad(poses[:, 0]))
    *_, along, mixed = (moment[ones] for moment in moments)
    assert slopes(mixed / along, poses, ("rotation", "shear")) == pytest.approx([-1, 1], abs=0.25)


def test_thickness_is_in_pixels_on_both_sides_of_the_stroke(digits, moments):
    """Ink grows by twice the thickness times the length of the strokes, two to three heights on average.

    Divided by the scale it grows alike in small and large digits: the pose counts pixels of the image.
    """
    mass, *_ = moments
    poses, labels = digits[0].poses, digits[0].labels
    scale, thickness = poses[:, 1], poses[:, 3]
    growth = []
    for part in (scale < 0.95, scale >= 0.95):
        columns = np.stack([thickness[part], scale[part], *(labels[part] == np.arange(10)[:, None])], axis=1)
        growth.append(np.linalg.lstsq(columns, (mass / scale)[part], rcond=None)[0][0])
    assert 4 * HEIGHT < growth[0] < 6 * HEIGHT
    assert growth[0] == pytest.approx(growth[1], rel=0.08)
