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
    """Return the array (read-only, uint8) of the content of an IDX file.

    ``name`` is the file's, for errors. Raises UserError unless the content is one whole array of unsigned
    bytes with this number of dimensions; no size is believed before the length of the content confirms it.
    """
    if len(content) < 4 or content[:3] != bytes([0, 0, UNSIGNED_BYTES]):
        raise UserError(
            f"{name}: begins with {content[:4].hex() or 'nothing'}; expected an IDX file of bytes, 000008{dimensions:02x}"
        )
    if content[3] != dimensions:
        raise UserError(f"{name}: holds {content[3]} dimensions; expected {dimensions}: is it another file of the set?")
    start = 4 + 4 * dimensions
    sizes = np.frombuffer(content[4 : start if len(content) >= start else 4], ">u4").tolist()
    if len(sizes) < dimensions or len(content) - start != math.prod(sizes):
        raise UserError(
            f"{name}: {len(content)} bytes long; its header says {start + math.prod(sizes)}: "
            "the file is cut off or damaged, delete it and get it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)
