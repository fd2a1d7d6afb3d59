"""A recorded frame as JSON, for machines elsewhere; `docs/forwarding.md` tells each field.

Rules kept here: pure; a message says what the frame's line in its `.jsonl` says, in the same words, and is
made where that is made; a field that is there stays as it is within a `version`, and others may come.
"""

import base64
import json
from collections.abc import Iterable

from mesh.frame import Frame
from mesh.recordings.lines import encoded, told
from mesh.recordings.times import show_time

VERSION = 1
BATCH_TYPE = "frames.recorded"


def message(frame: Frame, jpeg: bytes | None = None) -> bytes:
    """`frame` as one JSON object, in UTF-8, with its picture in base64 where that is given.

    Raises `WireError` for annotations that are not plain values.
    """
    # A double holds no nanoseconds of today: who reads JSON with JavaScript takes `captured_at`.
    entry = {"version": VERSION, **told(frame, captured_at=show_time(frame.captured_ns))}
    entry |= {"width": frame.width, "height": frame.height}
    if jpeg is not None:
        entry["jpeg"] = base64.b64encode(jpeg).decode()
    return encoded(frame, entry)


def batch(messages: Iterable[bytes], at_ns: int) -> bytes:
    """Messages as one JSON object, shaped as Standard Webhooks advises; it was made at `at_ns`."""
    head = json.dumps({"type": BATCH_TYPE, "timestamp": show_time(at_ns)}, separators=(",", ":"))
    data = f',"data":{{"version":{VERSION},"frames":['.encode()
    return b"".join((head[:-1].encode(), data, b",".join(messages), b"]}}"))
