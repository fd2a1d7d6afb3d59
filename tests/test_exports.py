"""What `import mesh` gives: each name when it is asked for, and nothing before."""

import subprocess
import sys

import pytest

import mesh

HEAVY = {"cv2", "numpy", "av", "zmq", "pydantic", "textual"}


@pytest.mark.parametrize("name", mesh.__all__)
def test_each_name_is_there(name: str) -> None:
    assert getattr(mesh, name).__name__ == name
    assert name in dir(mesh)


def test_a_name_that_is_none_is_told() -> None:
    with pytest.raises(AttributeError, match="has no 'nothing'"):
        mesh.nothing  # noqa: B018 - that is what is asked


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("mesh", HEAVY),
        ("mesh.cli.main", HEAVY),
        ("mesh.registry.server", {"cv2", "numpy", "av", "textual"}),
    ],
)
def test_what_is_not_needed_is_not_imported(module: str, without: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not without & set(done.stdout.split())
