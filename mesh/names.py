"""Names and topics: what a camera, a stage, a group or a node may be called.

Rules kept here: a name is `[a-z0-9][a-z0-9_-]{0,62}`; a topic is `VIEW/STAGE/CAMERA/PARTITION/`, always with
the closing slash, because ZeroMQ matches prefixes and `cam1` must not match `cam10`.
"""

import re

from mesh.errors import ConfigError

MAX_PARTITIONS = 1024  # of a camera, as the wire allows
NAME = re.compile(r"\A[a-z0-9][a-z0-9_-]{0,62}\Z")


def check_name(what: str, name: str) -> str:
    """`name` itself, or `ConfigError` saying which names are allowed. `what` is for the message: "camera"."""
    if "://" in name:  # which may hold a password
        raise ConfigError(f"a {what}'s name is wanted, and a URL was given")
    if not NAME.match(name):
        raise ConfigError(
            f"{what} {name!r} is not a name: use 1 to 63 of a-z, 0-9, '-' and '_', a letter or digit first"
        )
    return name


def check_partitions(count: int) -> int:
    """`count`, when frames can be spread over so many partitions. Raises `ConfigError`."""
    if not 1 <= count <= MAX_PARTITIONS:
        raise ConfigError(f"{count} partitions cannot be: give 1 to {MAX_PARTITIONS}")
    return count
