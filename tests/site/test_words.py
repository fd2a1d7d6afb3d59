"""What is wrong with a site's file is told in the project's words, not in those of the libraries."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from mesh.registry.setups import CameraSetup
from mesh.site.cameras import NOT_WRITTEN
from mesh.site.sections import (
    CaptureSection,
    CollectSection,
    DeviceSection,
    ProcessSection,
    RegistrySection,
    SiteSection,
)
from tests.site.support import problems_of

TABLES: dict[str, type[BaseModel]] = {
    "site": SiteSection,
    "registry": RegistrySection,
    "devices.d": DeviceSection,
    "cameras.c": CameraSetup,
    "capture.c": CaptureSection,
    "process.p": ProcessSection,
    "collect.r": CollectSection,
}
VALUES = [
    "true",
    "-1",
    "1e400",
    "1.5",
    "nan",
    '"x"',
    '""',
    "[]",
    "[1]",
    "[[]]",
    "{}",
    "{ a = 1 }",
    "1979-05-27",
]
VALUES += ['"' + "x" * 5000 + '"', '["", "-"]', f"0x{'f' * 60}"]
FOREIGN = (
    "input should",
    "valid ",
    "validation",
    "unable to",
    "error",
    "tuple",
    "dict",
    "expected",
    "python",
)


def keys(table: str) -> Iterator[str]:
    yield from TABLES[table].model_fields.keys() - (NOT_WRITTEN if table == "cameras.c" else set())


@pytest.mark.parametrize("table", TABLES)
def test_whatever_value_a_key_has(table: str, tmp_path: Path) -> None:
    """None of them is told in pydantic's words, and where it is wrong its key is named."""
    for key in keys(table):
        for value in VALUES:
            for problem in problems_of(tmp_path, f"[{table}]\n{key} = {value}\n"):
                assert not any(word in problem.lower() for word in FOREIGN), problem
                assert ".0" not in problem.partition(": ")[2].partition(": ")[0], problem


@pytest.mark.parametrize(
    "text",
    [
        "a = 1\na = 2",
        "[a]\n[a]",
        "[a]\nb = 1\n[a.b]",
        "[a]\nb = {}\n[a.b]",
        "[[a]]\n[a]",
        "a.b = 1\n[a]",
        "[a]\nb = { c = 1, c = 2 }",
        "a = { b = 1",
        "a = [1 2]",
        "a = 'x",
        'a = """x',
        'a = "\\q"',
        'a = "\\ud800"',
        'a = "\\u12"',
        "a = 1979-99-99",
        "a = yes",
        "a",
        "= 1",
        "[a",
        "[[a]",
        "a = 1 b = 2",
        'a = "\x01"',
        "[a]\nb.c = 1\nb = 2",
        "!",
    ],
)
def test_a_text_that_is_no_toml(text: str, tmp_path: Path) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    (told,) = problems_of(tmp_path, text)
    said = str(caught.value).partition(" (at ")[0].lower()
    assert said not in told.lower(), told
    assert told.split(":")[0].isdigit()
