"""What hypothesis draws: arrays of any shape from a seed, with the awkward values in them."""

import numpy as np
from hypothesis import strategies as st

seeds = st.integers(0, 2**32 - 1)
batches = st.sampled_from([0, 1, 2, 3])


@st.composite
def arrays(draw, *shape, scale=1.0):
    """A float64 array of independent normals; now and then some vectors along the last axis are zero."""
    rng = np.random.default_rng(draw(seeds))
    array = rng.standard_normal(shape) * scale
    if draw(st.booleans()) and array.ndim > 1:
        array[rng.random(shape[:-1]) < 0.3] = 0
    return array


@st.composite
def nonzero(draw, *shape, least=0.05):
    """A float64 array none of whose numbers is nearer to 0 than ``least``: no kink of a ReLU is crossed."""
    rng = np.random.default_rng(draw(seeds))
    return rng.choice([-1.0, 1.0], shape) * (least + rng.exponential(1.0, shape))


@st.composite
def vectors(draw, *shape, lengths):
    """Vectors (..., E) of random direction, each with one of the given lengths."""
    rng = np.random.default_rng(draw(seeds))
    direction = rng.standard_normal(shape)
    direction /= np.sqrt((direction**2).sum(axis=-1, keepdims=True))
    return direction * rng.choice(lengths, shape[:-1])[..., None]
