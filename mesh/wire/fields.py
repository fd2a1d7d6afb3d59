"""Checks of single fields, for both directions: one `WireError` for whatever docs/WIRE.md does not allow.

Rules kept here: sizes are checked before anything is unpacked; nothing is ever evaluated; numbers are finite,
keys are strings, and nothing is nested deeper than 32.
"""

from math import isfinite
from typing import Any, NoReturn

import msgpack

from mesh.codec import Buffer
from mesh.errors import WireError
from mesh.names import MAX_PARTITIONS
from mesh.shm.layout import MAX_SLOTS, check_ring_name

VERSION = 1
MAX_HEADER = 64 * 1024
MAX_INT = 2**62 - 1  # so that a receiver may count on from it, and store it, in 64 bits
MAX_DEPTH = 32
_SCALARS = (str, int, type(None), bytes, bytearray)  # besides finite floats; bool is an int


def unpack(part: Buffer) -> Any:
    if len(part) > MAX_HEADER:
        refuse(f"header of {len(part)} bytes, over the limit of {MAX_HEADER}")
    try:
        return msgpack.unpackb(part, raw=False, strict_map_key=True, ext_hook=_no_extension)
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise WireError(f"header is not msgpack: {type(error).__name__}: {error}") from error


def check_version(version: Any) -> None:
    if type(version) is not int or version != VERSION:
        refuse(f"wire version {brief(version)}; this end speaks {VERSION}")


def check_detection(found: Any) -> None:
    if not isinstance(found, dict):
        refuse("a detection is not a map")
    box = found.get("box")
    if not isinstance(box, list) or len(box) != 4:
        refuse("a detection's box is not [x, y, width, height]")
    for number in (found.get("score"), *box):
        if type(number) is not float or not isfinite(number):
            check_number(number)
    if type(found.get("label")) is not str:
        typed_in(found, "label", str)
    if type(found.get("by", "")) is not str:
        typed_in(found, "by", str)
    if "attributes" in found:
        attributes_in(found)


def check_hop(hop: Any) -> None:
    if not isinstance(hop, (list, tuple)) or len(hop) != 3 or not isinstance(hop[0], str):
        refuse("a hop is not [node, received_ns, sent_ns]")
    for name, value in (("received_ns", hop[1]), ("sent_ns", hop[2])):
        if type(value) is not int or not 0 <= value <= MAX_INT:
            int_in({name: value}, name)


def check_slot(found: Any) -> None:
    if not isinstance(found, dict):
        refuse("shm is not a map")
    if not check_ring_name(typed_in(found, "ring", str)):
        refuse("shm names no ring")
    int_in(found, "slot", most=MAX_SLOTS - 1)
    if (generation := int_in(found, "generation")) % 2 or not generation:
        refuse(f"shm names the generation {generation}, which is never a whole picture's")


def attributes_in(header: dict[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = typed_in(header, "attributes", dict, {})
    if attributes:
        check_plain(attributes)
    return attributes


def check_plain(value: Any, depth: int = 1) -> None:
    """A value that attributes may hold, and what is in it. `depth` counts the maps and arrays around it."""
    if isinstance(value, _SCALARS):
        return
    if isinstance(value, float):
        check_number(value)
        return
    if depth > MAX_DEPTH:
        refuse(f"attributes are nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        check_keys(value)
        value = value.values()
    elif not isinstance(value, list) and type(value) is not tuple:  # msgpack's ExtType is a tuple, too
        refuse(f"a {type(value).__name__} in attributes: they hold plain values only")
    for each in value:
        check_plain(each, depth + 1)


def check_keys(found: dict[Any, Any]) -> None:
    for key in found:
        if type(key) is not str and not isinstance(key, str):
            refuse(f"the key {brief(key)} is not a string")


def int_in(header: dict[str, Any], name: str, default: int | None = None, most: int = MAX_INT) -> int:
    value = header.get(name, default)
    if type(value) is not int or not 0 <= value <= most:
        refuse(f"{name} is {brief(value)}, not an integer from 0 to {most}")
    return value


def partitions_in(header: dict[str, Any]) -> int:
    if not (partitions := int_in(header, "partitions", most=MAX_PARTITIONS)):
        refuse("partitions is 0: a stream has one at least")
    return partitions


def check_number(value: Any) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not isfinite(value):
        refuse(f"{brief(value)} where a finite number belongs")


def typed_in(header: dict[str, Any], name: str, kind: type, default: Any = None) -> Any:
    value = header.get(name, default)
    if not isinstance(value, kind):
        refuse(f"{name} is a {type(value).__name__}, not a {kind.__name__}")
    return value


def brief(value: Any) -> str:
    return repr(value) if isinstance(value, (int, float, bool, type(None))) else type(value).__name__


def refuse(why: str) -> NoReturn:
    raise WireError(why)


def _no_extension(code: int, data: bytes) -> NoReturn:
    raise ValueError(f"extension type {code}")
