"""What the network is asked for: the margin loss, the reconstruction loss, and the baseline's cross-entropy."""

from __future__ import annotations

from typing import NamedTuple

from capslite.backend import Array, array_module
from capslite.ops.checks import check
from capslite.ops.squash import length


class MarginLossCache(NamedTuple):
    """What the backward pass of :func:`margin_loss` needs."""

    v: Array  # (B, J, E)
    n: Array  # (B, J), lengths of v
    d_n: Array  # (B, J), derivative of the loss with respect to n


class ReconstructionLossCache(NamedTuple):
    """What the backward pass of :func:`reconstruction_loss` needs."""

    difference: Array  # (B, P), decoded - images


class CrossEntropyCache(NamedTuple):
    """What the backward pass of :func:`cross_entropy` needs."""

    probabilities: Array  # (B, J)
    targets: Array  # (B, J)


def margin_loss(
    v: Array, targets: Array, m_plus: float = 0.9, m_minus: float = 0.1, down_weight: float = 0.5
) -> tuple[Array, MarginLossCache]:
    """Return the margin loss (talk: "margin loss"; Eq. 4 of the paper), mean over the batch, and the cache.

        L_j = T_j max(0, m+ - |v_j|)^2 + lambda (1 - T_j) max(0, |v_j| - m-)^2,   summed over classes j

    v (B, J, E); targets T (B, J) of 0 and 1, several ones where several classes are present. A class is
    present when its capsule is longer than m+, absent when it is shorter than m-; between the two the loss
    pulls. ``down_weight`` (lambda) keeps the many absent classes from shrinking every capsule at the start.
    """
    size = check("margin_loss", v=(v, "B J E"), targets=(targets, "B J"))
    xp, n = array_module(v), length(v)
    too_short = targets * xp.maximum(m_plus - n, 0)
    too_long = (1 - targets) * xp.maximum(n - m_minus, 0)
    # Divided before it is summed: a sum over the batch could overflow where the mean does not.
    loss = ((too_short**2 + down_weight * too_long**2) / max(size["B"], 1)).sum()
    d_n = (2 * down_weight * too_long - 2 * too_short) / max(size["B"], 1)
    return loss, MarginLossCache(v, n, d_n)


def margin_loss_backward(d_loss: Array | float, cache: MarginLossCache) -> Array:
    """Return d_v (B, J, E): d_loss dL/dn v/|v|. A vector of length 0 has no direction to grow in: 0.

    (Targets are 0 or 1, so T^2 = T and the derivative of T max(0, m - n)^2 is -2 T max(0, m - n).)
    """
    v, n, d_n = cache
    xp = array_module(v)
    return v * (d_loss * d_n / xp.where(n > 0, n, xp.ones_like(n)))[..., None]


def reconstruction_loss(decoded: Array, images: Array) -> tuple[Array, ReconstructionLossCache]:
    """Return the sum of squared differences over pixels, mean over the batch, and the cache.

    decoded and images (B, P), pixels in [0, 1]. (Talk: "reconstructions"; Sect. 4.1 of the paper, which
    scales it by 0.0005; the model does that.)
    """
    size = check("reconstruction_loss", decoded=(decoded, "B P"), images=(images, "B P"))
    difference = decoded - images
    return (difference**2 / max(size["B"], 1)).sum(), ReconstructionLossCache(difference)


def reconstruction_loss_backward(d_loss: Array | float, cache: ReconstructionLossCache) -> Array:
    """Return d_decoded (B, P) = d_loss 2 (decoded - images) / B."""
    return cache.difference * (d_loss * 2 / max(len(cache.difference), 1))


def cross_entropy(logits: Array, targets: Array) -> tuple[Array, CrossEntropyCache]:
    """Return -sum_j T_j log softmax(logits)_j, mean over the batch, and the cache: (B, J), (B, J).

    The baseline network's loss. The largest logit is taken off first, so no exponential overflows.
    """
    size = check("cross_entropy", logits=(logits, "B J"), targets=(targets, "B J"))
    xp = array_module(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = xp.exp(shifted)
    totals = exponentials.sum(axis=1, keepdims=True)
    loss = -(targets * (shifted - xp.log(totals)) / max(size["B"], 1)).sum()
    return loss, CrossEntropyCache(exponentials / totals, targets)


def cross_entropy_backward(d_loss: Array | float, cache: CrossEntropyCache) -> Array:
    """Return d_logits (B, J) = d_loss (p sum_j T_j - T) / B; with one class an image, (p - T) / B."""
    probabilities, targets = cache
    difference = probabilities * targets.sum(axis=1, keepdims=True) - targets
    return difference * (d_loss / max(len(targets), 1))
