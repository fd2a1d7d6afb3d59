"""The TOML of a `file:` registry: which key a table is, and what survives a change."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import ConfigError, RegistryError
from mesh.registry.toml_text import read_toml, write_toml

TEXT = """\
# The cameras of the house.

[cameras.door]   # by the street
source = "rtsp://door"   # with a long lead
fps = 10

[cameras.door.options]
# as the dealer said
gain = 3

["streams/raw/door"]
endpoint = "tcp://a"

[cameras.yard]  # after another table
source = "rtsp://yard"

# the end
"""


def test_tables_are_keys() -> None:
    assert read_toml(TEXT, "x") == {
        "cameras/door": {"source": "rtsp://door", "fps": 10, "options": {"gain": 3}},
        "streams/raw/door": {"endpoint": "tcp://a"},
        "cameras/yard": {"source": "rtsp://yard"},
    }


def test_what_did_not_change_is_not_touched() -> None:
    wanted = read_toml(TEXT, "x")
    assert write_toml(TEXT, wanted, "x") == TEXT
    wanted["cameras/door"]["fps"] = 25
    wanted["cameras/door"]["options"]["gain"] = 4
    assert write_toml(TEXT, wanted, "x") == TEXT.replace("fps = 10", "fps = 25").replace(
        "gain = 3", "gain = 4"
    )


def test_entries_come_and_go_between_comments() -> None:
    wanted = read_toml(TEXT, "x")
    del wanted["cameras/yard"], wanted["streams/raw/door"]
    wanted["nodes/a"] = {"n": None, "deep": {"x": [{"y": 1}]}}
    written = write_toml(TEXT, wanted, "x")
    assert read_toml(written, "x") == wanted
    for kept in (
        "# The cameras of the house.",
        "# by the street",
        "# with a long lead",
        "# as the dealer said",
    ):
        assert kept in written
    assert '["nodes/a"]' in written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[cameras.door]\nfps = = 1\n", "mesh.toml: .*line 2"),
        ("[cameras.door]\n[cameras.door]\n", "mesh.toml: .*line 2"),
        ("fps = 1\n", "fps is not a table"),
        ("[cameras]\ndoor = 1\n", "cameras/door is not a table"),
        ('[cameras.door]\n["cameras/door"]\n', "stands in it twice"),
        ("[cameras.door]\nsince = 2024-01-01\n", "holds a date"),
        ("[cameras.door]\nfps = nan\n", "not finite"),
        ('["cameras//door"]\n', "is not a registry key"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_toml(text, "mesh.toml")


def test_the_name_that_means_null_cannot_be_stored() -> None:
    with pytest.raises(RegistryError, match="means null"):
        write_toml("", {"nodes/a": {"x": {"$null": True}}}, "x")


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=10),
)
NAMES = st.text(st.characters(codec="utf-8"), max_size=6).filter(lambda name: name != "$null")
MEMBERS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["nodes/a", "nodes/b", "cameras/door", "streams/raw/door", "cameras/yard", "a.b/c"])
VALUES = st.dictionaries(KEYS, st.dictionaries(NAMES, MEMBERS, max_size=3), max_size=4)


@settings(max_examples=150, deadline=None)
@given(first=VALUES, second=VALUES)
def test_whatever_is_written_is_read_back(
    first: dict[str, dict[str, Any]], second: dict[str, dict[str, Any]]
) -> None:
    written = write_toml(TEXT, first, "x")
    assert read_toml(written, "x") == first
    assert read_toml(write_toml(written, second, "x"), "x") == second
