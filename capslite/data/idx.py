"""The IDX format, in which MNIST and Fashion-MNIST are kept.

Two zero bytes, a byte for the type (8: unsigned bytes), a byte for the number of dimensions, each size as a
big-endian 32-bit number, then the data, last dimension fastest.
"""

from __future__ import annotations

import math

import numpy as np

from capslite.errors import UserError

UNSIGNED_BYTES = 8


def parse_idx(content: bytes, name: str, dimensions: int) -> np.ndarray:
    """Return the array (read-only, uint8) in the content of an IDX file, without a copy.

    ``name`` says in errors which file it is. Raises UserError unless the content is one whole array of
    unsigned bytes with this number of dimensions; no size is believed before the length bears it out.
    """
    magic, start = bytes([0, 0, UNSIGNED_BYTES, dimensions]), 4 + 4 * dimensions
    if content[:4] != magic:
        raise UserError(
            f"{name}: begins with {content[:4].hex() or 'nothing'}; expected {magic.hex()}, the mark of an "
            f"IDX file of bytes in {dimensions} dimensions: it is damaged or another file, get the right one"
        )
    sizes = np.frombuffer(content[4:start].ljust(4 * dimensions, b"\0"), ">u4").tolist()
    expected = start + math.prod(sizes)
    if len(content) != expected:
        raise UserError(
            f"{name}: {len(content):,} bytes long, expected {expected:,} by its header, which says "
            f"{' x '.join(map(str, sizes))}: it is cut off or damaged, delete it and get it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)
