import numpy as np
import pytest

from capslite.data import Dataset
from capslite.errors import UserError

IMAGES = np.arange(3 * 4 * 5 * 2, dtype=np.uint8).reshape(3, 4, 5, 2)
LABELS = np.array([1, 0, 1])
NAMES = ("cat", "dog")


def test_it_says_what_it_holds():
    dataset = Dataset("pets", IMAGES, LABELS, NAMES)
    assert (len(dataset), dataset.image_shape, dataset.classes, dataset.scale) == (3, (4, 5, 2), 2, 255.0)
    assert Dataset("pets", IMAGES / np.float32(255), LABELS, NAMES).scale == 1.0


@pytest.mark.parametrize("images", [IMAGES, IMAGES / np.float32(255)])
@pytest.mark.parametrize("indices", [slice(0, 2), slice(3, None), np.array([2, 0]), np.array([], int)])
def test_a_subset_keeps_images_labels_and_poses_together(images, indices):
    """Also the empty one, which is what holding out no images for validation asks for."""
    poses = np.arange(6, dtype=np.float32).reshape(3, 2)
    part = Dataset("pets", images, LABELS, NAMES, poses, ("x", "y")).subset(indices)
    np.testing.assert_array_equal(part.images, images[indices])
    np.testing.assert_array_equal(part.labels, LABELS[indices])
    np.testing.assert_array_equal(part.poses, poses[indices])
    assert (part.name, part.class_names, part.pose_names) == ("pets", NAMES, ("x", "y"))


def refusal(**changed):
    fields = {"name": "pets", "images": IMAGES, "labels": LABELS, "class_names": NAMES} | changed
    with pytest.raises(UserError) as caught:
        Dataset(**fields)
    sentence = str(caught.value)
    assert sentence.startswith("pets: ")
    assert "\n" not in sentence
    assert "; expected " in sentence
    return sentence


@pytest.mark.parametrize("label", [-1, 2, 255])
def test_a_label_out_of_range_is_named_with_its_image(label):
    """A label of -1 would count from the end, and train the network towards a wrong class unnoticed."""
    labels = np.array([1, label, label])
    assert f"the label of image 1 is {label}; expected 0 to 1: " in refusal(labels=labels)


@pytest.mark.parametrize("pixel", [-0.001, 1.001, 255.0, np.nan, np.inf])
def test_a_float_pixel_out_of_range_is_named_with_its_image(pixel):
    """Pixels to 255 taken for 0 to 1 would not fail but train badly."""
    images = np.zeros((3, 4, 5, 1), np.float32)
    images[1:, 2, 3] = pixel
    assert f"a pixel of image 1 is {np.float32(pixel)}; expected 0 to 1" in refusal(images=images)


@pytest.mark.parametrize("images", [IMAGES[..., 0], IMAGES.reshape(3, 40), IMAGES[None]])
def test_images_of_the_wrong_shape(images):
    assert f"images have shape {images.shape}" in refusal(images=images)


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint16", "bool"])
def test_images_of_the_wrong_dtype(dtype):
    assert f"images are {dtype}" in refusal(images=IMAGES.astype(dtype))


@pytest.mark.parametrize(
    "labels", [LABELS[:2], LABELS[:, None], LABELS.astype(np.uint8), LABELS.astype(float)]
)
def test_labels_that_do_not_fit_the_images(labels):
    """Files of the training and of the test set mixed up come to this."""
    assert f"labels are {labels.dtype} of shape {labels.shape}" in refusal(labels=labels)


@pytest.mark.parametrize(
    "poses", [np.zeros((3, 1), np.float32), np.zeros((2, 2), np.float32), np.zeros((3, 2))]
)
def test_poses_that_do_not_fit(poses):
    assert f"poses are {poses.dtype} of shape {poses.shape}" in refusal(poses=poses, pose_names=("x", "y"))
