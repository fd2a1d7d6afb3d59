"""Rows of the table of faults: each test prints its own, and `make faults` gathers them."""

import json
import os
import sys
from pathlib import Path
from typing import Any

LONG = bool(os.environ.get("MESH_FAULTS_LONG"))


def row(fault: str, **figures: Any) -> None:
    """Tell a fault's figures: offered, delivered, dropped (by cause), lost, duplicates, recovery_s."""
    told = {"fault": fault, **figures}
    sys.stdout.write(json.dumps(told) + "\n")
    if table := os.environ.get("MESH_FAULTS_TABLE"):
        with Path(table).open("a") as stream:
            stream.write(json.dumps(told) + "\n")
