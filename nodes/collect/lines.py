"""A frame's line in a segment's `.jsonl`.

Rules kept here: one JSON object a line, in UTF-8, that any JSON reader takes: bytes become base64 text, and
numbers that JSON has no word for (NaN, infinities) become null.
"""

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

from mesh.errors import WireError
from mesh.frame import Frame
from mesh.wire import detection_map


def line(frame: Frame, pts_ms: int) -> bytes:
    """`frame` as a line, with its newline. `pts_ms` is its time in the Matroska file beside it.

    Raises `WireError` for annotations that are not plain values.
    """
    entry: dict[str, Any] = {
        "camera": frame.camera,
        "boot": frame.boot,
        "seq": frame.seq,
        "stage": frame.stage,
        "captured_ns": frame.captured_ns,
        "pts_ms": pts_ms,
        "detections": [_plain(detection_map(found)) for found in frame.detections],
        "hops": [[hop.node, hop.received_ns, hop.sent_ns] for hop in frame.hops],
    }
    if frame.pts_ns is not None:
        entry["source_pts_ms"] = frame.pts_ns / 1_000_000
    if frame.part:
        entry["part"] = frame.part
    if frame.attributes:
        entry["attributes"] = _plain(frame.attributes)
    try:
        text = json.dumps(entry, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode() + b"\n"
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
