import pytest
from pydantic import ValidationError

from mesh.errors import ConfigError
from mesh.names import check_name
from mesh.registry.records import CameraRecord, NodeKind, NodeRecord


@pytest.mark.parametrize("name", ["a", "door", "0", "cam-1_b", "x" * 63])
def test_a_name_is_given_back(name: str) -> None:
    assert check_name("camera", name) == name


@pytest.mark.parametrize("name", ["", "-door", "_x", "Door", "a b", "a/b", "ä", "a\n", "x" * 64])
def test_what_is_no_name_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match="is not a name") as caught:
        check_name("camera", name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["Door", "a/b", "a b", "../door", "x" * 64])
def test_a_record_with_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        CameraRecord(name=name, source="", node="n")
    with pytest.raises(ValidationError):
        NodeRecord(id="n", kind=NodeKind.CAPTURE, host="h", pid=1, labels={name: "x"})
