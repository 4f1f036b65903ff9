"""The pictures: they show the arrays they were given, and can be read in black and white."""

from io import BytesIO

import numpy as np
import pytest

from capslite import plots

ROWS = [
    {"epoch": 1, "train_loss": 0.6, "train_margin": 0.5, "validation_error": 30.0, "test_error": 31.0},
    {"epoch": 2, "train_loss": 0.3, "train_margin": 0.2, "validation_error": 12.0, "test_error": 13.0},
]


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_the_curves_are_the_numbers_of_the_table():
    losses, errors = plots.training_curves(ROWS).axes
    drawn = lines(losses) | lines(errors)
    for label, key in [
        ("total", "train_loss"),
        ("margin", "train_margin"),
        ("validation", "validation_error"),
        ("test", "test_error"),
    ]:
        np.testing.assert_array_equal(drawn[label].get_ydata(), [row[key] for row in ROWS])
        np.testing.assert_array_equal(drawn[label].get_xdata(), [1, 2])


def test_the_curves_can_be_told_apart_without_colour_and_the_axes_say_their_units():
    for axes in plots.training_curves(ROWS).axes:
        looks = {(line.get_linestyle(), line.get_marker()) for line in axes.get_lines()}
        assert len(looks) == len(axes.get_lines()) == len(axes.get_legend().get_texts())
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel()
    assert "%" in axes.get_ylabel()


def test_without_validation_there_is_no_such_curve():
    _, errors = plots.training_curves([{k: v for k, v in ROWS[0].items() if k != "validation_error"}]).axes
    assert set(lines(errors)) == {"test"}


@pytest.mark.parametrize("channels", [1, 3])
def test_each_input_stands_above_its_own_reconstruction(channels):
    rng = np.random.default_rng(0)
    images, decoded = rng.random((2, 3, 8, 8, channels)).astype(np.float32)
    axes = np.array(
        plots.reconstructions(images, decoded, np.array([1, 2, 3]), np.array([1, 2, 7])).axes
    ).reshape(2, 3)
    for column in range(3):
        for row, pictures in enumerate((images, decoded)):
            shown = axes[row, column].get_images()[0].get_array()
            np.testing.assert_array_equal(np.reshape(shown, pictures[column].shape), pictures[column])
    assert [ax.get_title() for ax in axes[0]] == ["l=1\np=1", "l=2\np=2", "l=3\np=7"]
    framed = [all(spine.get_visible() for spine in ax.spines.values()) for ax in axes[0]]
    assert framed == [False, False, True]


def test_grey_is_not_stretched():
    """A faint reconstruction must look faint, not be scaled up to white."""
    faint = np.full((1, 4, 4, 1), 0.1, np.float32)
    for axes in plots.reconstructions(faint, faint, np.array([0]), np.array([0])).axes:
        assert axes.get_images()[0].get_clim() == (0, 1)


def test_figures_can_be_saved_and_leave_no_global_state():
    """pyplot would keep every figure alive, and needs a display where there is none."""
    image = np.zeros((1, 4, 4, 1), np.float32)
    for figure in (
        plots.training_curves(ROWS),
        plots.reconstructions(image, image, np.array([0]), np.array([0])),
    ):
        file = BytesIO()
        figure.savefig(file)
        assert file.getvalue().startswith(b"\x89PNG")
        assert figure.canvas.manager is None
