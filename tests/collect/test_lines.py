from typing import Any

import pytest

from mesh.errors import WireError
from mesh.recordings.lines import line
from tests.collect.support import make


@pytest.mark.parametrize("kind", [list, dict])
def test_annotations_that_are_nested_too_deep_for_json_are_one_error(kind: type) -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep] if kind is list else {"a": deep}
    with pytest.raises(WireError, match="cannot be written as JSON"):
        line(make().annotate(deep=deep), 0)


def test_annotations_that_json_has_no_word_for_are_one_error() -> None:
    with pytest.raises(WireError, match="cannot be written as JSON"):
        line(make().annotate(odd=object()), 0)
