"""What a rival needs, and whether it is here."""

import shutil
from importlib.util import find_spec


def without_packages(*names: str) -> str:
    """Which of these packages is missing and how to get it; empty when all are here."""
    gone = [name for name in names if find_spec(name) is None]
    return f"{', '.join(gone)} not installed: pip install 'framemesh[bench]'" if gone else ""


def without_program(name: str, package: str) -> str:
    """That a program is missing and how to get it; empty when it is here."""
    return "" if shutil.which(name) else f"{name} not found: apt install {package}"
