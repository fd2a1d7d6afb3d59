"""A frame's line in a segment's `.jsonl`; and what it says of its frame, for whoever is told elsewhere.

Rules kept here: one JSON object a line, in UTF-8, that any JSON reader takes: bytes become base64 text, and
numbers that JSON has no word for (NaN, infinities) become null; what this module wrote it reads again.

Besides what the frame itself says, a line has `pts_ms`, `late`, and where there is something

    events         [label, by, captured_ns] of what was found in this frame: when the event began that it
                   belongs to, with this frame or an earlier one of the file (`mesh.recordings.contents`)
    skipped_ns     when the first frame was captured that was left out by choice between the last one that
                   was recorded and this one
"""

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.delivery import Identity
from mesh.errors import ConfigError, WireError
from mesh.frame import Detection, Frame, Hop
from mesh.names import check_name
from mesh.recordings.contents import Found
from mesh.steps import BY, LABEL, step_in
from mesh.wire import MAX_INT, detection_map

_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Entry:
    """What a line says of its frame that recovery needs; `end` is the byte behind it in its file."""

    identity: Identity
    captured_ns: int
    pts_ms: int
    late: bool
    found: tuple[Found, ...]
    skipped_ns: int
    end: int


def entries(text: bytes) -> Iterator[Entry]:
    """The lines of a `.jsonl`, up to the first that is not whole or is none of ours."""
    start = 0
    while (newline := text.find(b"\n", start)) >= 0:
        try:
            yield _entry(json.loads(text[start:newline]), newline + 1)
        except (ValueError, KeyError, TypeError, RecursionError, ConfigError):
            return
        start = newline + 1


def _entry(said: dict[str, Any], end: int) -> Entry:
    numbers = [said[name] for name in ("boot", "seq", "captured_ns", "pts_ms")]
    numbers += [said.get("part", 0), said.get("skipped_ns", 0)]
    if not all(type(number) is int and 0 <= number <= MAX_INT for number in numbers):
        raise ValueError("a number is missing, or is none that a frame has")
    boot, seq, captured_ns, pts_ms, part, skipped_ns = numbers
    stage, camera = check_name("stage", said["stage"]), check_name("camera", said["camera"])
    found = (*map(_found, said["detections"]), *_stepped(said.get("attributes", {})))
    late = said.get("late") is True
    return Entry((stage, camera, boot, seq, part), captured_ns, pts_ms, late, found, skipped_ns, end)


def fields(text: bytes) -> tuple[dict[str, Any], Entry]:
    """What a line says of its frame, as fields of a `Frame`, and the rest of it.

    A score that JSON had no word for is NaN again; bytes stay base64 text. Raises `ValueError` for a line
    that is none of ours.
    """
    try:
        said = json.loads(text)
        entry = _entry(said, 0)
        source_ms = said.get("source_pts_ms")
        stage, camera, boot, seq, part = entry.identity
        told = {
            "camera": camera,
            "boot": boot,
            "seq": seq,
            "part": part,
            "stage": stage,
            "captured_ns": entry.captured_ns,
            "pts_ns": None if source_ms is None else round(source_ms * 1_000_000),
            "detections": tuple(map(_detection, said["detections"])),
            "hops": tuple(Hop(str(node), int(at), int(to)) for node, at, to in said["hops"]),
            "attributes": dict(said.get("attributes", {})),
        }
        return told, entry
    except (KeyError, TypeError, OverflowError, RecursionError, ConfigError) as error:
        raise ValueError("a line that is none of ours") from error


def _detection(said: dict[str, Any]) -> Detection:
    label, by, score = _found(said)
    x, y, width, height = map(float, said["box"])
    at = math.nan if score is None else float(score)
    return Detection(label, at, (x, y, width, height), by, dict(said.get("attributes", {})))


def _found(said: dict[str, Any]) -> Found:
    label, by, score = said["label"], said.get("by", ""), said["score"]
    if not (isinstance(label, str) and isinstance(by, str) and isinstance(score, int | float | None)):
        raise ValueError("a detection is none")
    return label, by, score


def next_pts_ms(first_ns: int, captured_ns: int, last_ms: int | None) -> int:
    """A frame's time in its segment: milliseconds since the first frame, above the last one's. Pure."""
    since = (captured_ns - first_ns) // 1_000_000
    return max(0, since) if last_ms is None else max(last_ms + 1, since)


def found_in(frame: Frame) -> tuple[Found, ...]:
    """What was found in a frame, as its line says it; a step of its clock, too."""
    seen = tuple([(d.label, d.by, d.score if math.isfinite(d.score) else None) for d in frame.detections])
    return seen + _stepped(frame.attributes) if frame.attributes else seen


def _stepped(attributes: Mapping[str, Any]) -> tuple[Found, ...]:
    return () if step_in(attributes) is None else ((LABEL, BY, None),)


def line(
    frame: Frame,
    pts_ms: int,
    *,
    late: bool = False,
    skipped_ns: int = 0,
    events: Sequence[tuple[str, str, int]] = (),
) -> bytes:
    """`frame` as a line, with its newline. `pts_ms` is its time in the Matroska file beside it; `late` that
    a later frame was recorded before it; the rest is as above.

    Raises `WireError` for annotations that are not plain values.
    """
    entry = told(frame, pts_ms=pts_ms)
    if late:
        entry["late"] = True
    if events:
        entry["events"] = events
    if skipped_ns:
        entry["skipped_ns"] = skipped_ns
    return encoded(frame, entry) + b"\n"


def told(frame: Frame, **times: int | str) -> dict[str, Any]:
    """What a line says of its frame; `times` stand beside `captured_ns`."""
    entry: dict[str, Any] = {
        "camera": frame.camera,
        "boot": frame.boot,
        "seq": frame.seq,
        "stage": frame.stage,
        "captured_ns": frame.captured_ns,
        **times,
        "detections": [detection_map(found) for found in frame.detections],
        "hops": [(hop.node, hop.received_ns, hop.sent_ns) for hop in frame.hops],
    }
    if frame.pts_ns is not None:
        entry["source_pts_ms"] = frame.pts_ns / 1_000_000
    if frame.part:
        entry["part"] = frame.part
    if frame.attributes:
        entry["attributes"] = frame.attributes
    return entry


def encoded(frame: Frame, entry: dict[str, Any]) -> bytes:
    """What is `told` of `frame` as JSON, on one line. Raises `WireError` for what are no plain values."""
    try:
        return _encode(entry)
    except (TypeError, ValueError, RecursionError):
        # Rarely: JSON has no word for something in it.
        return _encode_odd(frame, entry)


def _encode(entry: dict[str, Any]) -> bytes:
    return _JSON.encode(entry).encode()


def _encode_odd(frame: Frame, entry: dict[str, Any]) -> bytes:
    try:
        return _encode(_plain(entry))
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError(f"annotations of {frame!r} cannot be written as JSON: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_key(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _key(key: Any) -> str:
    return base64.b64encode(key).decode() if isinstance(key, bytes) else str(key)
