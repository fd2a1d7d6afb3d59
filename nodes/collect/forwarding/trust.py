"""Whom a destination with TLS is trusted to be, and who this end is: `ca=FILE` and `cert=FILE` of its URL.

Rules kept here: a certificate is always verified, by what the system trusts or by what `ca` names; there is
no way to leave that out; nothing here asks a terminal for a key's password.
"""

import ssl
from collections.abc import Mapping

from mesh.errors import ConfigError


def check_chosen(shown: str, secure: str | None, given: Mapping[str, str]) -> None:
    """Whether the options in `given` go with the URL's scheme; where that is not the one with TLS, `secure`
    names that. Raises `ConfigError`."""
    if secure is not None and (wrong := given.keys() & {"ca", "cert"}):
        raise ConfigError(f"{shown}: {min(wrong)}= goes with TLS: write {secure}://")


def context(shown: str, ca: str | None, cert: str | None) -> ssl.SSLContext:
    """What connections are made with.

    ca:    PEM file of the authorities that are trusted, instead of the system's
    cert:  PEM file of this end's certificate and its key, where the other end wants one
    Raises `ConfigError`.
    """
    option = f"ca={ca}"
    try:
        made = ssl.create_default_context(cafile=ca)
        if cert is not None:
            option = f"cert={cert}"
            made.load_cert_chain(cert, password="")  # a key that has one is refused
    except ssl.SSLError as error:
        what = "certificates" if option.startswith("ca=") else "a certificate and its key without a password"
        raise ConfigError(f"{shown}: {option}: write a PEM file of {what}") from error
    except OSError as error:
        raise ConfigError(f"{shown}: {option}: {(error.strerror or 'unreadable').lower()}") from error
    except ValueError as error:
        raise ConfigError(f"{shown}: {option!r} is no name of a file") from error
    return made
