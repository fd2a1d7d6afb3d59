"""The answer to an HTTP server that wants a password: Basic (RFC 7617) and Digest (RFC 7616). Pure.

Rules kept here: the strongest challenge that is known is answered; a password is not sent where a digest of
it will do; nothing here is logged.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.request import parse_http_list, parse_keqv_list

_HASHES: dict[str, Callable[[bytes], "hashlib._Hash"]] = {
    "SHA-256": hashlib.sha256,
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False),  # what most cameras still ask for
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and a password, as they are. `repr` does not show them."""

    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Challenge:
    scheme: str
    fields: dict[str, str]

    @property
    def algorithm(self) -> str:
        return self.fields.get("algorithm", "MD5").upper()

    @property
    def rank(self) -> int | None:
        """How good it is, the lowest first; None for one that is not known here."""
        if self.scheme == "basic":
            return len(_HASHES)
        name = self.algorithm.removesuffix("-SESS")
        known = self.scheme == "digest" and name in _HASHES and "nonce" in self.fields
        return list(_HASHES).index(name) if known and self._has_qop else None

    @property
    def _has_qop(self) -> bool:
        return "auth" in qops(self.fields) or not qops(self.fields)


def qops(fields: dict[str, str]) -> list[str]:
    """What a digest challenge lets one protect; empty from servers older than RFC 2617."""
    return [word.strip().lower() for word in fields.get("qop", "").split(",") if word.strip()]


def answer(
    challenges: Sequence[str], credentials: Credentials, method: str, target: str, cnonce: str
) -> str | None:
    """The `Authorization` header for a request after these `WWW-Authenticate` headers; None where none of
    them is known. `cnonce` is to be random, and new each time."""
    ranked = [
        (challenge.rank, challenge) for challenge in map(_read, challenges) if challenge.rank is not None
    ]
    if not ranked:
        return None
    _, best = min(ranked, key=lambda pair: pair[0])
    if best.scheme == "basic":
        joined = f"{credentials.user}:{credentials.password}".encode()
        return "Basic " + base64.b64encode(joined).decode()
    return _digest(best, credentials, method, target, cnonce)


def _read(header: str) -> _Challenge:
    scheme, _, rest = header.strip().partition(" ")
    pairs = [item for item in parse_http_list(rest) if item.partition("=")[2]]
    fields = {name.strip().lower(): value for name, value in parse_keqv_list(pairs).items()}
    return _Challenge(scheme.lower(), fields)


def _digest(challenge: _Challenge, who: Credentials, method: str, target: str, cnonce: str) -> str:
    given = challenge.fields
    realm, nonce, count = given.get("realm", ""), given["nonce"], "00000001"

    def h(*words: str) -> str:
        return _HASHES[challenge.algorithm.removesuffix("-SESS")](":".join(words).encode()).hexdigest()

    secret = h(who.user, realm, who.password)
    if challenge.algorithm.endswith("-SESS"):
        secret = h(secret, nonce, cnonce)
    request = h(method, target)
    quoted = {"username": who.user, "realm": realm, "nonce": nonce, "uri": target}
    plain: dict[str, str] = {}
    if qops(given):
        quoted |= {"response": h(secret, nonce, count, cnonce, "auth", request), "cnonce": cnonce}
        plain = {"qop": "auth", "nc": count}
    else:
        quoted["response"] = h(secret, nonce, request)
    if "opaque" in given:
        quoted["opaque"] = given["opaque"]
    if "algorithm" in given:
        plain["algorithm"] = given["algorithm"]
    words = [f'{name}="{_escaped(value)}"' for name, value in quoted.items()]
    return "Digest " + ", ".join([*words, *(f"{name}={value}" for name, value in plain.items())])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
