"""Layers: an op together with its parameters.

A layer holds its arrays by name in ``parameters``; ``forward(x) -> (y, cache)`` and ``backward(d_y, cache)
-> (d_x, gradients)``, the gradients under the parameters' names. Layers keep nothing between the two but
what is in the cache, so shards of a batch can go through one layer at the same time.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from capslite.backend import Array
from capslite.ops import (
    conv2d,
    conv2d_backward,
    dense,
    dense_backward,
    prediction_vectors,
    prediction_vectors_backward,
    relu,
    relu_backward,
    route,
    route_backward,
    sigmoid,
    sigmoid_backward,
    squash,
    squash_backward,
)

Gradients = dict[str, Array]


class Conv2D:
    """Convolution, with ReLU if asked: (B, H, W, C) -> (B, OH, OW, F)."""

    def __init__(self, kernel: Array, bias: Array, *, stride: int = 1, padding: str = "valid", with_relu: bool):
        self.parameters = {"kernel": kernel, "bias": bias}
        self.stride, self.padding, self.with_relu = stride, padding, with_relu

    def forward(self, x: Array) -> tuple[Array, Any]:
        y, conv_cache = conv2d(x, *self.parameters.values(), self.stride, self.padding)
        relu_cache = None
        if self.with_relu:
            y, relu_cache = relu(y, out=y)
        return y, (conv_cache, relu_cache)

    def backward(self, d_y: Array, cache: Any, with_d_x: bool = True) -> tuple[Array | None, Gradients]:
        conv_cache, relu_cache = cache
        if relu_cache is not None:
            d_y = relu_backward(d_y, relu_cache)
        d_x, d_kernel, d_bias = conv2d_backward(d_y, conv_cache, with_d_x)
        return d_x, {"kernel": d_kernel, "bias": d_bias}


class PrimaryCaps:
    """The lowest capsules: a convolution whose channels are read as vectors, and squashed.

    (B, H, W, C) -> u (B, I, D), where i runs over (y, x, type): the D numbers of one capsule are neighbouring
    channels of one place, and all places share the kernel of their type.
    """

    def __init__(self, kernel: Array, bias: Array, *, dimension: int, stride: int, padding: str):
        self.conv = Conv2D(kernel, bias, stride=stride, padding=padding, with_relu=False)
        self.parameters = self.conv.parameters
        self.dimension = dimension

    def forward(self, x: Array) -> tuple[Array, Any]:
        y, conv_cache = self.conv.forward(x)
        u, squash_cache = squash(y.reshape(len(y), math.prod(y.shape[1:]) // self.dimension, self.dimension))
        return u, (conv_cache, squash_cache, y.shape)

    def backward(self, d_u: Array, cache: Any) -> tuple[Array | None, Gradients]:
        conv_cache, squash_cache, shape = cache
        return self.conv.backward(squash_backward(d_u, squash_cache).reshape(shape), conv_cache)


class DigitCaps:
    """The upper capsules: prediction vectors and routing by agreement, u (B, I, D) -> v (B, J, E)."""

    def __init__(self, weight: Array, *, iterations: int, leaky: bool):
        self.parameters = {"weight": weight}
        self.iterations, self.leaky = iterations, leaky

    def forward(self, u: Array) -> tuple[Array, Any]:
        u_hat, prediction_cache = prediction_vectors(u, self.parameters["weight"])
        v, route_cache = route(u_hat, self.iterations, self.leaky)
        return v, (prediction_cache, route_cache)

    def backward(self, d_v: Array, cache: Any) -> tuple[Array, Gradients]:
        prediction_cache, route_cache = cache
        d_u, d_weight = prediction_vectors_backward(route_backward(d_v, route_cache), prediction_cache)
        return d_u, {"weight": d_weight}


class DecoderCache(NamedTuple):
    """What the backward pass of :class:`Decoder` needs."""

    dense: list[Any]
    activations: list[Any]
    mask: Array


class Decoder:
    """Fully connected layers that draw an image from one capsule: v (B, J, E), mask (B, J) -> pixels (B, P).

    All capsules but the masked-in one are set to 0 (talk: "masking"; Fig. 2 of the paper). ReLU after every
    layer but the last, whose sigmoid gives pixels in (0, 1).
    """

    def __init__(self, weights: list[Array], biases: list[Array]):
        self.weights, self.biases = weights, biases
        self.parameters = {
            f"{number}.{name}": array
            for number, pair in enumerate(zip(weights, biases, strict=True))
            for name, array in zip(("weight", "bias"), pair, strict=True)
        }

    def forward(self, v: Array, mask: Array) -> tuple[Array, DecoderCache]:
        x = (v * mask[..., None]).reshape(len(v), v.shape[1] * v.shape[2])
        cache = DecoderCache([], [], mask)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x, dense_cache = dense(x, weight, bias)
            x, activation_cache = sigmoid(x) if weight is self.weights[-1] else relu(x, out=x)
            cache.dense.append(dense_cache)
            cache.activations.append(activation_cache)
        return x, cache

    def backward(self, d_x: Array, cache: DecoderCache) -> tuple[Array, Gradients]:
        gradients: Gradients = {}
        for number in reversed(range(len(self.weights))):
            last = number == len(self.weights) - 1
            d_x = (sigmoid_backward if last else relu_backward)(d_x, cache.activations[number])
            d_x, d_weight, d_bias = dense_backward(d_x, cache.dense[number])
            gradients |= {f"{number}.weight": d_weight, f"{number}.bias": d_bias}
        batch, classes = cache.mask.shape
        return d_x.reshape(batch, classes, d_x.shape[1] // classes) * cache.mask[..., None], gradients
