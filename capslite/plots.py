"""Every picture: takes arrays, returns a matplotlib Figure, and can be read without colour."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure


def training_curves(rows: list[dict[str, Any]]) -> Figure:
    """Draw losses and errors over epochs from the rows of metrics.csv."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    loss_axes, error_axes = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    for key, label, style in [("train_loss", "total", "o-"), ("train_margin", "margin", "s--")]:
        loss_axes.plot(epochs, [row[key] for row in rows], style, color="black", markersize=4, label=label)
    loss_axes.set(xlabel="epoch", ylabel="training loss, mean of an image", yscale="log")
    for key, label, style in [("validation_error", "validation", "s--"), ("test_error", "test", "o-")]:
        if key in rows[0]:
            error_axes.plot(epochs, [row[key] for row in rows], style, color="black", markersize=4, label=label)
    error_axes.set(xlabel="epoch", ylabel="error (%)", ylim=(0, None))
    for axes in (loss_axes, error_axes):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def reconstructions(images: np.ndarray, decoded: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> Figure:
    """Draw images (N, H, W, C) above what the decoder made of their longest capsule (N, H, W, C).

    Above each pair stands the true class l and the predicted class p, as in Fig. 3 of the paper; a wrong one
    is framed.
    """
    count = len(images)
    figure = Figure(figsize=(0.8 * count, 2.3), layout="constrained")
    axes = figure.subplots(2, count, squeeze=False)
    for column in range(count):
        wrong = labels[column] != predictions[column]
        axes[0, column].set_title(f"l={labels[column]}\np={predictions[column]}", fontsize=9)
        for row, picture in enumerate((images[column], decoded[column])):
            show_image(axes[row, column], picture)
            for spine in axes[row, column].spines.values():
                spine.set(visible=bool(wrong), linewidth=3)
    axes[0, 0].set_ylabel("input")
    axes[1, 0].set_ylabel("decoded")
    return figure


def show_image(axes: Any, image: np.ndarray) -> None:
    """Show one image (H, W, 1) or (H, W, 3) with pixels in [0, 1], without ticks."""
    axes.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
