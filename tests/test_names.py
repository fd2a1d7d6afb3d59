import pytest

from mesh.errors import ConfigError
from mesh.names import check_name


@pytest.mark.parametrize("name", ["a", "door", "0", "cam-1_b", "x" * 63])
def test_a_name_is_given_back(name: str) -> None:
    assert check_name("camera", name) == name


@pytest.mark.parametrize("name", ["", "-door", "_x", "Door", "a b", "a/b", "ä", "a\n", "x" * 64])
def test_what_is_no_name_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match="is not a name") as caught:
        check_name("camera", name)
    assert "\n" not in str(caught.value)
