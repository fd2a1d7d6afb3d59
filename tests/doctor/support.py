"""What the doctor's tests share: it is asked as the command asks it, and its findings are looked up."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.doctor import Asked, Finding, Level, Pointed, examine, gather
from mesh.place import this_place
from mesh.presence import this_version
from mesh.registry import Registry
from mesh.registry.records import NodeKind, NodeRecord, Record
from nodes.capture.sources.container import ffmpeg_version
from nodes.secrets import has_secret, read_secrets

PATIENT_S = 30.0  # for what answers: a slow machine is no fault
BRIEF_S = 4.0  # where something never answers: what does answer has a busy machine's time for it


def examined(
    url: str,
    *,
    timeout: float = PATIENT_S,
    folders: Sequence[tuple[str, Path]] = (),
    secrets: Sequence[Path] = (),
    environment: str = "",
    clock: Clock = SYSTEM_CLOCK,
) -> list[Finding]:
    """What the doctor finds at the registry `url`, as `mesh doctor --registry URL` has it."""
    pointed = Pointed(url, "--registry", environment)
    asked = Asked(pointed, timeout, folders, secrets, has_secret, read_secrets, ffmpeg_version())
    return examine(gather(asked, clock))


def of(findings: Sequence[Finding], check: str, subject: str) -> Finding:
    """The one finding of a check about something."""
    (found,) = (f for f in findings if (f.check, f.subject) == (check, subject))
    return found


def levels(findings: Sequence[Finding], check: str, *, but: str = "") -> set[Level]:
    """Those of a check, but for what is found about one subject."""
    return {finding.level for finding in findings if finding.check == check and finding.subject != but}


def node(name: str, **more: Any) -> NodeRecord:
    """A node of this version, here, without endpoints."""
    usual = {
        "id": name,
        "kind": NodeKind.CAPTURE,
        "host": socket.gethostname(),
        "pid": 4711,
        "place": this_place(),
        "version": this_version(),
        "started_ns": 1,
    }
    return NodeRecord.model_validate(usual | more)


def write(registry: Registry, *records: Record, ttl: float = 600.0) -> None:
    """Put records under a lease, as another program would."""
    lease = registry.grant(ttl)
    for record in records:
        registry.put(record.key, record.value(), lease=lease)  # type: ignore[attr-defined]  # each has a key
