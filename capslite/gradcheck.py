"""Is this backward pass right? Ask the forward pass.

A derivative is a slope, and a slope can be measured: move one number a little up and a little down, and see
how much the result moves (central differences, in float64, whose error is of the order of the step squared).
It needs one pass of the op for every number of every input, so it is for tests, lessons and your own ops,
not for training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

STEP = 1e-5  # truncation about STEP^2 = 1e-10, rounding about 1e-16 / STEP = 1e-11


class GradientError(NamedTuple):
    """The worst disagreement found, and where.

    ``relative`` is the difference over the largest gradient of that input: a single number near zero may
    be all rounding, and says nothing.
    """

    relative: float
    name: str
    index: tuple[int, ...]
    analytic: float
    numerical: float


def numerical_gradient(
    function: Callable[[], Any], x: np.ndarray, indices: Iterable[tuple[int, ...]] | None = None, step: float = STEP
) -> np.ndarray:
    """Return d function() / d x by central differences, same shape as x.

    ``function`` takes nothing and returns a number that depends on the array x; x is moved in place, one
    number at a time, and put back. With ``indices`` only those are measured and the others are nan.
    Raises ValueError unless x is float64.
    """
    if x.dtype != np.float64:
        raise ValueError(f"numerical_gradient: x has dtype {x.dtype}; expected float64, float32 is too coarse")
    gradient = np.full(x.shape, np.nan)
    for index in np.ndindex(x.shape) if indices is None else indices:
        before = x[index]
        x[index] = before + step
        above = float(function())
        x[index] = before - step
        below = float(function())
        x[index] = before
        gradient[index] = (above - below) / (2 * step)
    return gradient


def check_op(
    op: Callable[..., Any],
    op_backward: Callable[..., Any],
    *inputs: np.ndarray,
    seed: int = 0,
    step: float = STEP,
    **options: Any,
) -> GradientError:
    """Compare an op pair's gradients with measured ones, for a random direction of the output.

    ``op(*inputs, **options) -> (output, cache)`` and ``op_backward(d_output, cache) -> gradients`` in the
    order of the inputs, a bare array for one input. The inputs are float64 and are left as they were.
    """
    inputs = tuple(np.array(x) for x in inputs)
    output, cache = op(*inputs, **options)
    d_output = np.random.default_rng(seed).standard_normal(np.shape(output))
    gradients = op_backward(d_output, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    if len(gradients) != len(inputs):
        raise ValueError(f"check_op: {len(gradients)} gradients came for {len(inputs)} inputs; expected one each")

    def projected() -> float:
        return float((op(*inputs, **options)[0] * d_output).sum())

    pairs = zip(inputs, gradients, strict=True)
    return _worst(
        (f"input {number}", gradient, numerical_gradient(projected, x, step=step))
        for number, (x, gradient) in enumerate(pairs)
    )


def check_model(
    net: Any, *batch: np.ndarray, samples: int = 20, seed: int = 0, step: float = STEP
) -> GradientError:
    """Compare ``net.loss_and_gradients(*batch)`` with measured slopes of its total loss.

    Of each parameter ``samples`` numbers are measured, chosen at random. The net must be float64.
    """
    rng = np.random.default_rng(seed)
    _, gradients = net.loss_and_gradients(*batch)

    def total() -> float:
        return float(net.loss_and_gradients(*batch)[0].total)

    def measured(x: np.ndarray) -> np.ndarray:
        chosen = rng.choice(x.size, size=min(samples, x.size), replace=False)
        return numerical_gradient(total, x, [np.unravel_index(i, x.shape) for i in chosen], step)

    return _worst((name, gradients[name], measured(x)) for name, x in net.parameters.items())


def _worst(compared: Iterable[tuple[str, np.ndarray, np.ndarray]]) -> GradientError:
    """Return the worst error of (name, analytic, numerical); numbers not measured are nan."""
    worst = GradientError(0.0, "", (), 0.0, 0.0)
    for name, analytic, numerical in compared:
        if np.shape(analytic) != numerical.shape:
            raise ValueError(f"{name}: its gradient has shape {np.shape(analytic)}; expected {numerical.shape}")
        if not analytic.size:
            continue
        scale = max(np.abs(analytic).max(), np.nanmax(np.abs(numerical)), np.finfo(float).tiny)
        difference = np.nan_to_num(np.abs(analytic - numerical), nan=0.0)
        index = tuple(int(i) for i in np.unravel_index(difference.argmax(), difference.shape))
        relative = float(difference[index] / scale)
        if relative > worst.relative or not np.isfinite(analytic).all():
            relative = relative if np.isfinite(analytic).all() else np.inf
            worst = GradientError(relative, name, index, float(analytic[index]), float(numerical[index]))
    return worst
