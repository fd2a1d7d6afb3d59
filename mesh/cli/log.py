"""Logging to stderr: lines for people, or one JSON object a line with `--log-json`."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from mesh.errors import ConfigError

LEVELS = ("debug", "info", "warning", "error")

_as_json = False


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(level: str, as_json: bool, stream: TextIO | None = None) -> None:
    """Log to stderr, or another stream, from `level` up. Raises `ConfigError` for a level that is none."""
    global _as_json
    if level not in LEVELS:
        raise ConfigError(f"--log-level {level!r} is none: use {', '.join(LEVELS)}")
    _as_json = as_json
    handler = logging.StreamHandler(stream or sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
    handler.setFormatter(JsonLines() if as_json else plain)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def say_error(line: str) -> None:
    """The last line of stderr: why the command failed."""
    if _as_json:
        logging.getLogger("mesh").error(line)
    else:
        print(f"mesh: {line}", file=sys.stderr)  # noqa: T201 - a command's answer to a person
