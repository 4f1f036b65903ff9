import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capslite.data.idx import parse_idx
from capslite.errors import UserError

shapes = st.lists(st.integers(0, 5), min_size=1, max_size=4)
WHOLE = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 3, 4) + bytes(range(24))


@given(shape=shapes)
def test_what_was_written_is_read(shape):
    """Sizes are big-endian and the last dimension runs fastest; empty arrays are arrays."""
    array = np.arange(np.prod(shape)).astype(np.uint8).reshape(shape)
    content = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()
    np.testing.assert_array_equal(parse_idx(content, "file", len(shape)), array, strict=True)


@given(length=st.integers(0, len(WHOLE) - 1))
def test_cut_off_anywhere_it_is_refused(length):
    with pytest.raises(UserError, match=r"^train-images: .* get (it again|the right one)$"):
        parse_idx(WHOLE[:length], "train-images", 3)


def test_trailing_bytes_are_refused():
    with pytest.raises(UserError, match=r"41 bytes long, expected 40 by its header, which says 2 x 3 x 4"):
        parse_idx(WHOLE + b"\0", "file", 3)


@pytest.mark.parametrize(
    "sizes", [(2, 3, 5), (2**32 - 1, 2**32 - 1, 2**32 - 1), (2**16, 2**16, 2**32 - 1), (2**31, 2, 0)]
)
def test_a_lying_header_reserves_no_memory(sizes):
    """The last three overflow 64 or 32 bits, or would ask for more memory than there is."""
    with pytest.raises(UserError, match="cut off or damaged, delete it"):
        parse_idx(WHOLE[:4] + struct.pack(">3I", *sizes) + WHOLE[16:], "file", 3)


@pytest.mark.parametrize(
    "magic", [b"\x00\x00\x08\x01", b"\x00\x00\x0d\x03", b"\x08\x03\x00\x00", b"<htm", b"\x1f\x8b\x08\x00"]
)
def test_another_kind_of_file_is_refused_by_its_first_bytes(magic):
    """Labels for images, floats, the wrong byte order, an error page, a file still compressed."""
    with pytest.raises(UserError, match=f"begins with {magic.hex()}; expected 00000803"):
        parse_idx(magic + WHOLE[4:], "file", 3)
