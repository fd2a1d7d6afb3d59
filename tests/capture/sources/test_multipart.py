"""Multipart streams as cameras send them, cut in every way."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.capture.sources import multipart
from nodes.capture.sources.multipart import MultipartParser
from tests.capture.sources.support import jpegs

ONE, TWO, THREE = jpegs(3)


def part(body: bytes, *headers: bytes, delimiter: bytes = b"--b", line: bytes = b"\r\n") -> bytes:
    return line.join([delimiter, *headers, b"", body]) + line


def length(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


def parsed(*pieces: bytes, boundary: str = "b") -> list[bytes]:
    parser = MultipartParser(boundary)
    return [picture for piece in pieces for picture in parser.feed(piece)]


def cut(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = sorted({0, len(data), *(at % (len(data) + 1) for at in cuts)})
    return (data[begin:end] for begin, end in pairwise(edges))


SIZED = b"".join(part(body, b"Content-Type: image/jpeg", length(body)) for body in (ONE, TWO, THREE))
UNSIZED = b"".join(part(body, b"Content-Type: image/jpeg") for body in (ONE, TWO, THREE)) + b"--b\r\n"

STREAMS = {
    "as it should be": ("b", SIZED),
    "no lengths": ("b", UNSIZED),
    "LF alone": ("b", b"".join(part(body, length(body), line=b"\n") for body in (ONE, TWO, THREE))),
    "LF alone, no lengths": ("b", b"".join(part(body, line=b"\n") for body in (ONE, TWO, THREE)) + b"--b\n"),
    "announced with its dashes": ("--b", UNSIZED),
    "announced as another": ("other", UNSIZED),
    "not announced": ("", UNSIZED),
    "not announced, with lengths": ("", SIZED),
    "no dashes in the stream": ("b", UNSIZED.replace(b"--b", b"b")),
    "no first delimiter": ("b", SIZED.removeprefix(b"--b\r\n")),
    "empty lines before": ("b", b"\r\n\r\n\r\n" + SIZED),
    "a preamble": ("b", b"This is a message\r\nin many parts\r\n\r\n" + SIZED),
    "no headers": ("b", b"".join(part(body) for body in (ONE, TWO, THREE)) + b"--b\r\n"),
    "no line end after a body": ("b", SIZED.replace(b"\xff\xd9\r\n", b"\xff\xd9")),
    "odd headers": (
        "b",
        b"".join(
            part(body, b"content-length : %d" % len(body), b"X-Time: 2013-03-15T10:51:44.314+04:00")
            for body in (ONE, TWO, THREE)
        ),
    ),
    "the length first, in quotes, and another boundary midway": (
        "b",
        b"".join(
            part(body, b'Content-Length: "%d"' % len(body), b"Content-Type: image/jpeg", delimiter=delimiter)
            for body, delimiter in ((ONE, b"--b"), (TWO, b"--b"), (THREE, b"--c"))
        ),
    ),
    "lengths that do not help": (
        "b",
        part(ONE, length(ONE), b"X: 1")
        + b"".join(part(b"", b"Content-Length: " + bad, b"X: 1") for bad in (b"0", b"9" * 12, b"1" * 13, b""))
        + part(TWO, length(TWO), b"X: 1")
        + part(THREE, length(THREE), b"X: 1"),
    ),
    "parts that are no pictures": (
        "b",
        part(b"<a/>\r\n", b"Content-Type: text/xml", b"Content-Length: 6") + SIZED + part(b"x", length(b"x")),
    ),
    "empty parts": ("b", part(b"", b"Content-Length: 0") + b"--b\r\n\r\n" + UNSIZED),
    "a part that broke off": ("b", THREE[-200:] + b"\r\n" + SIZED),
}


@pytest.mark.parametrize("name", STREAMS)
def test_cameras_as_they_are(name: str) -> None:
    boundary, data = STREAMS[name]
    assert parsed(data, boundary=boundary) == [ONE, TWO, THREE]
    assert parsed(*(data[k : k + 1] for k in range(len(data))), boundary=boundary) == [ONE, TWO, THREE]


@given(name=st.sampled_from(sorted(STREAMS)), cuts=st.lists(st.integers(0, 5000), max_size=12))
def test_how_the_bytes_are_cut_makes_no_difference(name: str, cuts: list[int]) -> None:
    boundary, data = STREAMS[name]
    assert parsed(*cut(data, cuts), boundary=boundary) == [ONE, TWO, THREE]


GARBAGE = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [b"\r\n", b"\n", b"--b", b"--", b"\r\n\r\n", b"Content-Length: ", b"99999999999999999"]
        ),
        st.sampled_from([b"Content-Length: 7\r\n\r\n", b"\xff\xd8", b"Content-Type: image/jpeg", SIZED]),
    ),
    max_size=30,
).map(b"".join)


@given(data=GARBAGE, cuts=st.lists(st.integers(0, 5000), max_size=12), boundary=st.sampled_from(["b", ""]))
def test_of_garbage_the_same_pictures_come_however_it_is_cut(
    data: bytes, cuts: list[int], boundary: str
) -> None:
    whole, pieces = MultipartParser(boundary), MultipartParser(boundary)
    pictures = whole.feed(data)
    assert [picture for piece in cut(data, cuts) for picture in pieces.feed(piece)] == pictures
    assert (pieces.held, pieces.skipped) == (whole.held, whole.skipped)
    assert all(picture.startswith(b"\xff\xd8") for picture in pictures)


def test_pictures_come_again_after_garbage() -> None:
    garbage = bytes(range(256)) * 200
    assert parsed(garbage + b"\r\n" + SIZED)[-2:] == [TWO, THREE]


def test_no_head_and_no_body_grows_without_bound() -> None:
    heads, bodies = MultipartParser("b"), MultipartParser("b")
    bodies.feed(b"--b\r\nContent-Length: 99999999999\r\n\r\n")
    for _ in range(2 * multipart.MAX_PART // 2**20):
        heads.feed(b"x" * 2**20)
        bodies.feed(b"y" * 2**20)
        assert heads.held <= multipart.MAX_HEAD
        assert bodies.held <= multipart.MAX_PART + 16
    assert bodies.skipped > multipart.MAX_PART
    assert bodies.feed(b"\r\n" + SIZED)[-2:] == [TWO, THREE]
