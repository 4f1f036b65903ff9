"""The equations: one a file, each forward pass beside its hand-written backward pass.

Every pair is ``op(inputs, ...) -> (output, cache)`` and ``op_backward(d_output, cache) -> gradients`` in the
order of the inputs. ``d_x`` is the gradient of the loss with respect to ``x``. The letters of the shapes:
B batch, H W image, C channels; I lower capsules of D dimensions; J upper capsules of E dimensions.
"""

from capslite.ops.activations import relu, relu_backward, sigmoid, sigmoid_backward
from capslite.ops.conv import conv2d, conv2d_backward
from capslite.ops.dense import dense, dense_backward
from capslite.ops.losses import (
    cross_entropy,
    cross_entropy_backward,
    margin_loss,
    margin_loss_backward,
    reconstruction_loss,
    reconstruction_loss_backward,
)
from capslite.ops.routing import (
    prediction_vectors,
    prediction_vectors_backward,
    route,
    route_backward,
    routing_softmax,
    routing_softmax_backward,
)
from capslite.ops.squash import length, squash, squash_backward

__all__ = [
    "conv2d",
    "conv2d_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "dense",
    "dense_backward",
    "length",
    "margin_loss",
    "margin_loss_backward",
    "prediction_vectors",
    "prediction_vectors_backward",
    "reconstruction_loss",
    "reconstruction_loss_backward",
    "relu",
    "relu_backward",
    "route",
    "route_backward",
    "routing_softmax",
    "routing_softmax_backward",
    "sigmoid",
    "sigmoid_backward",
    "squash",
    "squash_backward",
]
