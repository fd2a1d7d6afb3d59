"""Signatures of webhooks, as Standard Webhooks 1.0.0 has them (standardwebhooks.com, symmetric: `v1`). Pure.

Rules kept here: a secret is `whsec_` and base64 of 24 to 64 random bytes; what is signed is the id, the time
of this attempt and the body, as they are sent; no error shows a secret.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import unquote

from mesh.errors import ConfigError

PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64


def keys_of(secret: str) -> tuple[bytes, ...]:
    """The keys in a secret: one, or several with spaces between, while an old one is replaced.

    Raises `ConfigError`.
    """
    keys = tuple(_key(word) for word in secret.split())
    if not keys:
        raise _wrong()
    return keys


def check_placed(url: str) -> None:
    """Refuse a URL in which a secret itself stands, to be called before its placeholders are filled in.

    Raises `ConfigError`.
    """
    if PREFIX in unquote(url).lower():
        raise ConfigError(
            "a webhook's secret stands in the URL, where others can read it: write secret={NAME}, and "
            "NAME=whsec_… in the node's environment or its --secrets FILE"
        )


def headers(keys: Iterable[bytes], id: str, seconds: int, body: bytes) -> dict[str, str]:
    """What a webhook's receiver verifies; `seconds` since the epoch is when this attempt is made."""
    named = {"webhook-id": id, "webhook-timestamp": str(seconds)}
    signatures = [_signature(key, f"{id}.{seconds}.".encode() + body) for key in keys]
    return named | ({"webhook-signature": " ".join(signatures)} if signatures else {})


def _signature(key: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _key(word: str) -> bytes:
    try:
        key = base64.b64decode(word.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise _wrong() from None
    if not word.startswith(PREFIX) or not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise _wrong()
    return key


def _wrong() -> ConfigError:
    return ConfigError(
        f"a webhook's secret is {PREFIX} and base64 of {LEAST_BYTES} to {MOST_BYTES} random bytes: make one "
        f'with echo "{PREFIX}$(openssl rand -base64 32)"'
    )
