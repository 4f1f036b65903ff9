"""The capsule network of the talk: three layers of encoder, three of decoder."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from capslite.backend import Array, array_module, resolve_device, to_device
from capslite.errors import UserError
from capslite.layers import Conv2D, Decoder, DigitCaps, Gradients, PrimaryCaps
from capslite.ops import (
    length,
    margin_loss,
    margin_loss_backward,
    reconstruction_loss,
    reconstruction_loss_backward,
)
from capslite.threads import run_shards, shards_of, use_threads


@dataclass(frozen=True)
class CapsNetConfig:
    """Sizes of a capsule network; the defaults are the paper's, for 28 x 28 grey images of 10 classes."""

    name: str = "paper"
    image_shape: tuple[int, int, int] = (28, 28, 1)
    classes: int = 10
    conv_channels: int = 256
    conv_kernel: int = 9
    types: int = 32
    primary_dimension: int = 8
    primary_kernel: int = 9
    primary_stride: int = 2
    digit_dimension: int = 16
    routing_iterations: int = 3
    leaky: bool = False
    padding: str = "valid"
    transform_deviation: float = 0.05
    decoder: tuple[int, ...] | None = (512, 1024)
    reconstruction_weight: float = 0.0005

    def __post_init__(self) -> None:
        least = self.conv_kernel + self.primary_kernel - 1
        if self.padding == "valid" and min(self.image_shape[:2]) < least:
            raise ValueError(
                f"CapsNetConfig: image_shape is {self.image_shape}; its kernels need at least {least} rows and columns"
            )

    @classmethod
    def paper(cls, image_shape: tuple[int, int, int] = (28, 28, 1), classes: int = 10) -> CapsNetConfig:
        """Return the network of the talk and the paper: 8.2 million parameters."""
        return cls(image_shape=image_shape, classes=classes)

    @classmethod
    def small(cls, image_shape: tuple[int, int, int] = (28, 28, 1), classes: int = 10) -> CapsNetConfig:
        """Return the same network with fewer channels and capsule types, for a laptop."""
        return cls("small", image_shape, classes, conv_channels=64, types=8)

    @classmethod
    def from_dict(cls, values: Any) -> CapsNetConfig:
        """Return the config of which ``dataclasses.asdict``, and JSON after it, made these values.

        Raises UserError if they are none of a config.
        """
        try:
            config = cls(**values)
            shape, decoder = tuple(config.image_shape), config.decoder and tuple(config.decoder)
            return replace(config, image_shape=shape, decoder=decoder)
        except (TypeError, ValueError) as error:
            raise UserError(f"these are not the sizes of a capsule network ({error}): was config.json changed?") from error

    @property
    def lower_capsules(self) -> int:
        """How many primary capsules there are: rows times columns times types."""
        return math.prod(self._primary_side(n) for n in self.image_shape[:2]) * self.types

    def _primary_side(self, size: int) -> int:
        if self.padding == "same":
            return -(-size // self.primary_stride)
        return (size - self.conv_kernel + 1 - self.primary_kernel) // self.primary_stride + 1


class Losses(NamedTuple):
    """Means over the batch: total = margin + weight * reconstruction. 0-d arrays on the net's device."""

    total: Array
    margin: Array
    reconstruction: Array


class Output(NamedTuple):
    """What a batch of images became."""

    capsules: Array  # v (B, J, E)
    lengths: Array  # |v| (B, J): how likely each class is there
    couplings: Array  # c (B, J, I) of the last routing iteration


class UpperPart(NamedTuple):
    """What one shard of images gives above the primary capsules."""

    losses: Losses
    d_u: Array  # (B, I, D)
    gradients: dict[str, Gradients]


class CapsNet:
    """The capsule network: its parameters, forward pass, loss and gradients.

    ``parameters`` maps names to arrays on the device; change them in place only. ``threads`` is the number
    of processor threads (None: one a core); on the GPU it has no meaning. The same seed gives the same
    parameters on every device.
    """

    def __init__(
        self,
        config: CapsNetConfig,
        *,
        seed: int = 0,
        dtype: str = "float32",
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        self.config, self.dtype, self.threads = config, np.dtype(dtype), threads
        self.device = resolve_device(device)
        self._rng = np.random.default_rng(seed)
        self.conv1, self.primary = self._make_conv1(), self._make_primary()
        self.digit, self.decoder = self._make_digit(), self._make_decoder()
        layers = {"conv1": self.conv1, "primary": self.primary, "digit": self.digit, "decoder": self.decoder}
        self.parameters = _flat({name: layer.parameters for name, layer in layers.items() if layer is not None})

    @property
    def parameter_count(self) -> int:
        """How many numbers the network learns."""
        return sum(array.size for array in self.parameters.values())

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Copy the parameters from arrays of the same names. Raises UserError if one is missing or does not fit."""
        for name, parameter in self.parameters.items():
            shape = arrays[name].shape if name in arrays else None
            if shape != parameter.shape:
                raise UserError(f"the parameter {name} has shape {shape} there; expected {parameter.shape}: wrong run?")
        for name, parameter in self.parameters.items():
            parameter[...] = to_device(arrays[name], self.device)

    def forward(self, images: Array) -> Output:
        """Return the capsules of images (B, H, W, C) with pixels in [0, 1]."""
        self._check(images)
        with use_threads(self.threads):
            u, _ = self._lower(images)

            def work(shard: slice) -> Output:
                v, (_, route_cache) = self.digit.forward(u[shard])
                return Output(v, length(v), route_cache.c[-1])

            parts = run_shards(work, _image_shards(images))
        return Output(*(_concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def reconstruct(self, capsules: Array, mask: Array) -> Array:
        """Draw images (B, H, W, C) from capsules (B, J, E); mask (B, J) is 1 at the one to draw, else 0."""
        if self.decoder is None:
            raise ValueError("reconstruct: this network was made without a decoder; expected config.decoder widths")
        pixels, _ = self.decoder.forward(capsules, mask)
        return pixels.reshape(len(capsules), *self.config.image_shape)

    def loss_and_gradients(
        self, images: Array, targets: Array, reconstruction_targets: Array | None = None
    ) -> tuple[Losses, Gradients]:
        """Return the losses, and the gradients of the total under the names of the parameters.

        images (B, H, W, C) with pixels in [0, 1]; targets (B, J) of 0 and 1. The decoder draws from the
        target capsule and is held against reconstruction_targets (B, H, W, C), by default the images.
        """
        self._check(images)
        if targets.shape != (len(images), self.config.classes):
            raise ValueError(
                f"CapsNet: targets has shape {targets.shape}; expected (B={len(images)}, J={self.config.classes})"
            )
        drawn = images if reconstruction_targets is None else reconstruction_targets
        with use_threads(self.threads):
            u, (conv1_cache, primary_cache) = self._lower(images)

            def work(shard: slice) -> UpperPart:
                return self._upper(u[shard], targets[shard], drawn[shard], len(images))

            parts = run_shards(work, _image_shards(images))
            gradients = _sum_in_order([part.gradients for part in parts])
            d_u = _concatenate([part.d_u for part in parts])
            d_features, gradients["primary"] = self.primary.backward(d_u, primary_cache)
            _, gradients["conv1"] = self.conv1.backward(d_features, conv1_cache, with_d_x=False)
        losses = Losses(*(sum(values[1:], start=values[0]) for values in zip(*(p.losses for p in parts), strict=True)))
        named = _flat(gradients)
        return losses, {name: named[name] for name in self.parameters}

    def _lower(self, images: Array) -> tuple[Array, tuple[Any, Any]]:
        """Return the primary capsules u (B, I, D): all images at once, for the convolutions share out their own."""
        features, conv1_cache = self.conv1.forward(images)
        u, primary_cache = self.primary.forward(features)
        return u, (conv1_cache, primary_cache)

    def _upper(self, u: Array, targets: Array, drawn: Array, batch: int) -> UpperPart:
        """Go from the primary capsules of a shard up to the loss and back; the mean is over the whole batch."""
        share = len(u) / max(batch, 1)
        v, digit_cache = self.digit.forward(u)
        margin, margin_cache = margin_loss(v, targets)
        d_v = margin_loss_backward(share, margin_cache)
        reconstruction = array_module(u).zeros_like(margin)
        gradients: dict[str, Gradients] = {}
        if self.decoder is not None:
            decoded, decoder_cache = self.decoder.forward(v, targets)
            reconstruction, loss_cache = reconstruction_loss(decoded, drawn.reshape(decoded.shape))
            d_decoded = reconstruction_loss_backward(share * self.config.reconstruction_weight, loss_cache)
            d_v_decoder, gradients["decoder"] = self.decoder.backward(d_decoded, decoder_cache)
            d_v += d_v_decoder
        d_u, gradients["digit"] = self.digit.backward(d_v, digit_cache)
        total = margin + self.config.reconstruction_weight * reconstruction
        return UpperPart(Losses(total * share, margin * share, reconstruction * share), d_u, gradients)

    def _make_conv1(self) -> Conv2D:
        config, channels = self.config, self.config.image_shape[2]
        shape = (config.conv_kernel, config.conv_kernel, channels, config.conv_channels)
        kernel, bias = self._weights(shape), self._zeros(config.conv_channels)
        return Conv2D(kernel, bias, padding=config.padding, with_relu=True)

    def _make_primary(self) -> PrimaryCaps:
        config, filters = self.config, self.config.types * self.config.primary_dimension
        shape = (config.primary_kernel, config.primary_kernel, config.conv_channels, filters)
        kernel, bias = self._weights(shape), self._zeros(filters)
        stride, padding = config.primary_stride, config.padding
        return PrimaryCaps(kernel, bias, dimension=config.primary_dimension, stride=stride, padding=padding)

    def _make_digit(self) -> DigitCaps:
        config = self.config
        shape = (config.lower_capsules, config.primary_dimension, config.classes, config.digit_dimension)
        weight = self._normal(shape, config.transform_deviation)
        return DigitCaps(weight, iterations=config.routing_iterations, leaky=config.leaky)

    def _make_decoder(self) -> Decoder | None:
        config = self.config
        if config.decoder is None:
            return None
        widths = (config.classes * config.digit_dimension, *config.decoder, math.prod(config.image_shape))
        weights = [self._weights(shape) for shape in zip(widths, widths[1:], strict=False)]
        return Decoder(weights, [self._zeros(width) for width in widths[1:]])

    def _weights(self, shape: tuple[int, ...]) -> Array:
        """Draw weights that keep the size of what passes through a ReLU: deviation sqrt(2 / inputs) (He 2015)."""
        return self._normal(shape, (2 / math.prod(shape[:-1])) ** 0.5)

    def _normal(self, shape: tuple[int, ...], deviation: float) -> Array:
        return to_device((self._rng.standard_normal(shape) * deviation).astype(self.dtype), self.device)

    def _zeros(self, size: int) -> Array:
        return to_device(np.zeros(size, self.dtype), self.device)

    def _check(self, images: Array) -> None:
        if images.shape[1:] != self.config.image_shape or images.dtype != self.dtype:
            raise ValueError(
                f"CapsNet: images has shape {images.shape} and dtype {images.dtype}; "
                f"expected (B, {', '.join(map(str, self.config.image_shape))}) and {self.dtype}"
            )


def _flat(by_layer: dict[str, dict[str, Array]]) -> dict[str, Array]:
    return {f"{layer}.{name}": array for layer, arrays in by_layer.items() for name, array in arrays.items()}


def _image_shards(images: Array) -> list[slice]:
    """Cut a batch so that the prediction vectors of a shard stay in cache; a GPU takes all at once."""
    size = min(32, max(8, len(images) // 4)) if array_module(images) is np else max(len(images), 1)
    return shards_of(len(images), size) or [slice(0, 0)]


def _concatenate(arrays: list[Array] | tuple[Array, ...]) -> Array:
    return arrays[0] if len(arrays) == 1 else array_module(arrays[0]).concatenate(arrays)


def _sum_in_order(parts: list[dict[str, Gradients]]) -> dict[str, Gradients]:
    """Add the gradients of the shards, always in the same order; the first part holds the sum."""
    total, *rest = parts

    def work(place: tuple[str, str]) -> None:
        layer, name = place
        for part in rest:
            total[layer][name] += part[layer][name]

    run_shards(work, [(layer, name) for layer, gradients in total.items() for name in gradients])
    return total
