"""Taking HTTP's chunks off, cut in every way."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.capture.sources.chunked import ChunkedDecoder


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(b"%X\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=8),
    cuts=st.lists(st.integers(0, 500), max_size=10),
)
def test_how_the_bytes_are_cut_makes_no_difference(pieces: list[bytes], cuts: list[int]) -> None:
    data, decoder = chunked(pieces), ChunkedDecoder()
    edges = sorted({0, len(data), *(at % (len(data) + 1) for at in cuts)})
    got = [decoder.decode(data[a:b]) for a, b in pairwise(edges)]
    assert b"".join(got) == b"".join(pieces)
    assert decoder.ended


def test_extensions_bare_line_ends_and_what_follows_the_end() -> None:
    decoder = ChunkedDecoder()
    assert decoder.decode(b"3;name=value\nabc\n 2 \r\nde\r\n0\r\n\r\nmore") == b"abcde"
    assert decoder.ended


@pytest.mark.parametrize(
    "data", [b"--b\r\n", b"\r\n", b"-3\r\n", b"3\r\nabcd\r\n", b"f" * 20 + b"\r\n", b"1" * 9000]
)
def test_what_is_not_in_chunks(data: bytes) -> None:
    with pytest.raises(ValueError, match="not in chunks"):
        ChunkedDecoder().decode(data)
