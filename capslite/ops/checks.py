"""Every op states the shapes and dtypes of its arguments before any arithmetic."""

from __future__ import annotations

from capslite.backend import Array


def check(op: str, **arguments: tuple[Array, str]) -> dict[str, int]:
    """Check arrays against shapes written in letters and return the size of each letter.

    ``check("dense", x=(x, "B N"), weight=(weight, "N M"))`` says that x has two axes, and that its second is
    as long as weight's first. All arrays must share one dtype, float32 or float64.

    Raises ValueError naming the op, the argument, what came and what was expected.
    """
    sizes: dict[str, int] = {}
    dtype = None
    for name, (array, letters) in arguments.items():
        axes = letters.split()
        shape = getattr(array, "shape", None)
        if shape is None:
            raise ValueError(f"{op}: {name} is a {type(array).__name__}; expected an array ({', '.join(axes)})")
        known = dict(sizes)
        if len(shape) != len(axes) or any(known.setdefault(axis, n) != n for axis, n in zip(axes, shape, strict=True)):
            expected = ", ".join(f"{axis}={sizes[axis]}" if axis in sizes else axis for axis in axes)
            raise ValueError(f"{op}: {name} has shape {tuple(shape)}; expected ({expected})")
        if array.dtype not in ("float32", "float64") or dtype not in (None, array.dtype):
            expected = dtype or "float32 or float64"
            raise ValueError(f"{op}: {name} has dtype {array.dtype}; expected {expected}")
        sizes, dtype = known, array.dtype
    return sizes
