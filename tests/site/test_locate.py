import pytest

from mesh.site.locate import line_of, lines_of

TEXT = '''\
# [not.a.table]
[site]
name = "shop"  # name = "no"

[cameras.door]
url = """
fps = 1
[fake]
"""
fps = 5

[cameras."front door"]
url = 'x'
size.width = 3
labels = { site = "gate", room = "a" }
inputs = [
    "raw",
    # fps = 9
]

["capture".gate]
count=2
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("site",), 2),
        (("site", "name"), 3),
        (("cameras", "door"), 5),
        (("cameras", "door", "url"), 6),
        (("cameras", "door", "fps"), 10),
        (("cameras", "front door", "url"), 13),
        (("cameras", "front door", "size", "width"), 14),
        (("cameras", "front door", "labels", "room"), 15),
        (("cameras", "front door", "inputs", "0"), 16),
        (("capture", "gate", "count"), 22),
    ],
)
def test_a_key_is_found_where_it_stands(path: tuple[str, ...], line: int) -> None:
    assert line_of(lines_of(TEXT), path) == line


def test_of_a_key_that_is_missing_the_table_around_it_is_told() -> None:
    assert line_of(lines_of(TEXT), ("cameras", "door", "quality")) == 5
    assert line_of(lines_of(TEXT), ("site", "insecure")) == 2


def test_a_table_that_stands_only_by_what_is_below_it_is_where_that_begins() -> None:
    assert line_of(lines_of(TEXT), ("cameras",)) == 5


def test_what_is_nowhere_has_no_line() -> None:
    assert line_of(lines_of(TEXT), ("collect",)) is None
    assert line_of(lines_of(TEXT), ()) is None


def test_what_looks_like_a_key_in_a_string_is_none() -> None:
    assert line_of(lines_of(TEXT), ("fake",)) is None


def test_only_a_line_feed_ends_a_line() -> None:
    text = "# a\u0085b\u2028c\n[site]\nname = 1\n"
    assert line_of(lines_of(text), ("site", "name")) == 3


def test_a_long_file_is_read_once() -> None:
    """In one pass: three thousand tables would take an hour where each cost all that stand before it."""
    text = "".join(f'[cameras.c{n}]\nurl = """\n[x]\n"""\n' for n in range(3000))
    lines = lines_of(text)
    assert lines["cameras", "c2999"] == 2999 * 4 + 1
    assert ("x",) not in lines
