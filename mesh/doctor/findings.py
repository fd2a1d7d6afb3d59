"""What a check found: a level, what it is about, what is so, and what to do about it. Values, and pure sums.

Rules kept here: whatever is not well says what to do; nothing here holds a secret.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is, from the least. A note is worth knowing, a warning may become a failure, and what has
    failed does not work now."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "failed"


LEVELS = tuple(Level)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `mesh doctor`. `subject` is what was looked at: a node, a camera, a folder, an address.
    `cause`: the check that tells why, where that is another one."""

    check: str
    subject: str
    level: Level
    found: str
    do: str = ""
    cause: str = ""

    def __post_init__(self) -> None:
        if (self.level is Level.OK) == bool(self.do):
            raise ValueError("what is not well says what to do, and only that")

    def value(self) -> dict[str, str]:
        return {
            "check": self.check,
            "subject": self.subject,
            "level": self.level.value,
            "found": self.found,
            "do": self.do,
        }


def ok(check: str, subject: str, found: str) -> Finding:
    return Finding(check, subject, Level.OK, found)


def note(check: str, subject: str, found: str, do: str) -> Finding:
    return Finding(check, subject, Level.NOTE, found, do)


def warning(check: str, subject: str, found: str, do: str) -> Finding:
    return Finding(check, subject, Level.WARNING, found, do)


def failed(check: str, subject: str, found: str, do: str, cause: str = "") -> Finding:
    return Finding(check, subject, Level.FAILED, found, do, cause)


def worst(findings: Sequence[Finding]) -> Level:
    return max((finding.level for finding in findings), key=LEVELS.index, default=Level.OK)


def verdict(findings: Sequence[Finding]) -> str:
    """All of it in one line: how much is wrong, and the first thing to do: a cause before what follows."""
    counts = Counter(finding.level for finding in findings)
    bad = [finding for finding in findings if finding.level in (Level.WARNING, Level.FAILED)]
    if not bad:
        notes = f", {_counted(counts[Level.NOTE], 'note')}" if counts[Level.NOTE] else ""
        return f"all is well: {_counted(len(findings), 'check')}{notes}"
    told = []
    if counts[Level.FAILED]:
        told.append(f"{counts[Level.FAILED]} failed")
    if counts[Level.WARNING]:
        told.append(_counted(counts[Level.WARNING], "warning"))
    effect = next(finding for finding in bad if finding.level is worst(findings))
    causes = [finding for finding in bad if finding.check == effect.cause]
    first = next((cause for cause in causes if cause.level is worst(causes)), effect)
    return f"{', '.join(told)}: the first thing to do: {first.do} ({first.check}, {first.subject})"


def duration(seconds: float) -> str:
    """In its largest unit, for a person."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
