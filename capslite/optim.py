"""Adam (Kingma and Ba 2015) and the paper's decay of its learning rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from capslite import kernels
from capslite.backend import Array, array_module, to_numpy
from capslite.threads import run_shards, shards_of

CHUNK = 1 << 16  # numbers: a chunk of weights, moments and gradients stays in a core's cache


@dataclass(frozen=True)
class ExponentialDecay:
    """The learning rate ``initial * rate**(step / steps)``, never below ``floor``.

    The paper says "exponentially decaying"; the numbers are those of its published code.
    """

    initial: float = 0.001
    rate: float = 0.96
    steps: int = 2000
    floor: float = 1e-6

    def __call__(self, step: int) -> float:
        """Return the learning rate of the step, counted from 0."""
        return max(self.initial * self.rate ** (step / self.steps), self.floor)


class Adam:
    """Steps against the gradient, each weight at a pace of its own.

        m <- m + (1 - beta1) (g - m)          the mean of the gradient
        v <- v + (1 - beta2) (g^2 - v)        the mean of its square
        w <- w - rate sqrt(1 - beta2^t) / (1 - beta1^t)  m / (sqrt(v) + epsilon)

    in the order of operations at the end of the algorithm's Sect. 2. The arrays of ``parameters`` are changed
    in place. ``learning_rate`` is a number or an :class:`ExponentialDecay`.
    """

    def __init__(
        self,
        parameters: dict[str, Array],
        learning_rate: float | ExponentialDecay = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        self.parameters, self.learning_rate = parameters, learning_rate
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.m = {name: array_module(w).zeros_like(w) for name, w in parameters.items()}
        self.v = {name: array_module(w).zeros_like(w) for name, w in parameters.items()}
        self.steps = 0

    @property
    def current_rate(self) -> float:
        """The learning rate of the coming step."""
        return self.learning_rate(self.steps) if callable(self.learning_rate) else self.learning_rate

    def step(self, gradients: dict[str, Array]) -> None:
        """Take one step. Raises ValueError if the gradients' names or shapes are not the parameters'."""
        shapes = {name: gradient.shape for name, gradient in gradients.items()}
        for name, w in self.parameters.items():
            if shapes.pop(name, None) != w.shape:
                raise ValueError(f"Adam: no gradient of shape {w.shape} came for the parameter {name!r}")
        if shapes:
            raise ValueError(f"Adam: gradients came for {', '.join(shapes)}, which are not parameters")
        t = self.steps + 1
        rate = self.current_rate * (1 - self.beta2**t) ** 0.5 / (1 - self.beta1**t)
        for name, w in self.parameters.items():
            self._update(w, self.m[name], self.v[name], gradients[name], rate)
        self.steps = t

    def _update(self, w: Array, m: Array, v: Array, g: Array, rate: float) -> None:
        if array_module(w) is not np:
            kernels.adam(w, m, v, g, rate, self.beta1, self.beta2, self.epsilon)
            return
        w, m, v, g = (array.reshape(-1) for array in (w, m, v, g))

        def work(part: slice) -> None:
            change = g[part] - m[part]
            change *= 1 - self.beta1
            m[part] += change
            np.multiply(g[part], g[part], out=change)
            change -= v[part]
            change *= 1 - self.beta2
            v[part] += change
            np.sqrt(v[part], out=change)
            change += self.epsilon
            np.divide(m[part], change, out=change)
            change *= rate
            w[part] -= change

        run_shards(work, shards_of(len(w), CHUNK))

    def state(self) -> dict[str, np.ndarray]:
        """Return what a checkpoint needs: the moments under "m.NAME" and "v.NAME", and the count "step"."""
        moments = {f"{kind}.{name}": to_numpy(a) for kind in "mv" for name, a in getattr(self, kind).items()}
        return {**moments, "step": np.array(self.steps)}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a :meth:`state`."""
        for kind in "mv":
            for name, array in getattr(self, kind).items():
                array[...] = array_module(array).asarray(state[f"{kind}.{name}"])
        self.steps = int(state["step"])
