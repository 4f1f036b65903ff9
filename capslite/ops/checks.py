"""Every op states the shapes and dtypes of its arguments before any arithmetic."""

from __future__ import annotations

from capslite.backend import Array


def check(op: str, **arguments: tuple[Array, str]) -> dict[str, int]:
    """Check arrays against shapes written in letters, and return the size of each letter.

    ``check("dense", x=(x, "B N"), weight=(weight, "N M"))`` says that x has two axes, and that its second is
    as long as weight's first; a leading ``...`` stands for any axes. All arrays must share one dtype,
    float32 or float64.

    Raises ValueError naming the op, the argument, what came and what was expected.
    """
    sizes: dict[str, int] = {}
    dtype = None
    for name, (array, letters) in arguments.items():
        axes = letters.split()
        if not hasattr(array, "shape"):
            raise ValueError(f"{op}: {name} is a {type(array).__name__}; expected an array ({', '.join(axes)})")
        fitted = _fit(axes, array.shape, sizes)
        if fitted is None:
            expected = ", ".join(f"{axis}={sizes[axis]}" if axis in sizes else axis for axis in axes)
            raise ValueError(f"{op}: {name} has shape {tuple(array.shape)}; expected ({expected})")
        if array.dtype not in ("float32", "float64") or (dtype is not None and dtype != array.dtype):
            raise ValueError(f"{op}: {name} has dtype {array.dtype}; expected {dtype or 'float32 or float64'}")
        sizes, dtype = fitted, array.dtype
    return sizes


def _fit(axes: list[str], shape: tuple[int, ...], sizes: dict[str, int]) -> dict[str, int] | None:
    """Return the sizes with those of this shape added, or None if it does not fit."""
    if axes[0] == "...":
        axes, shape = axes[1:], shape[max(len(shape) - len(axes) + 1, 0) :]
    if len(axes) != len(shape):
        return None
    sizes = dict(sizes)
    return sizes if all(sizes.setdefault(axis, n) == n for axis, n in zip(axes, shape, strict=True)) else None
