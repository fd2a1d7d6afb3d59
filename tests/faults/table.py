"""`make faults`: run the long version of every fault, and print a table of their figures."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLUMNS = ("fault", "offered", "delivered", "dropped", "lost", "duplicates", "recovery_s")
TIMEOUT_S = "900"


def shown(value: Any) -> str:
    """A figure for people: causes and lists spelled out, nothing where there is nothing."""
    if isinstance(value, dict):
        return ", ".join(f"{cause} {count}" for cause, count in value.items()) or "0"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def markdown(rows: list[Mapping[str, Any]]) -> str:
    """The table, with what has no column of its own spelled out in the last one."""
    lines = ["| " + " | ".join((*COLUMNS, "also")) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row in rows:
        others = ", ".join(f"{name} {shown(value)}" for name, value in row.items() if name not in COLUMNS)
        lines.append("| " + " | ".join([*(shown(row.get(name)) for name in COLUMNS), others]) + " |")
    return "\n".join(lines)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.jsonl"
        table.touch()
        env = {**os.environ, "MESH_FAULTS_LONG": "1", "MESH_FAULTS_TABLE": str(table)}
        command = [sys.executable, "-m", "pytest", "tests/faults", "--timeout", TIMEOUT_S, *sys.argv[1:]]
        code = subprocess.run(command, env=env, check=False).returncode
        rows = [json.loads(line) for line in table.read_text().splitlines()]
    sys.stdout.write(
        f"\n{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
    )
    sys.stdout.write(f"Python {platform.python_version()}\n\n")
    sys.stdout.write(markdown(sorted(rows, key=lambda row: str(row["fault"]))) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
