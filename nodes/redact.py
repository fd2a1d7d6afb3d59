"""Camera URLs without their secrets: for logs, listings, records and errors.

Rules kept here: pure; where a URL can be read in two ways, the reading that hides more is taken, so that a
password with an `@`, `:`, `/`, `#`, `?` or `%` in it never shows, even if a part of the path goes with it.
"""

import re

HIDDEN = "***"

_SECRET_WORD = r"(?:pass|pwd|pw|token|key|secret|auth|cred|signature|jwt|session|(?:pas|sig)(?==))"
_SECRET_NAME = rf"[^=&?;#\s]*{_SECRET_WORD}[^=&?;#\s]*"
# In some cameras' paths names begin behind a slash or an underscore: /user=admin_password=…_channel=1.sdp
_SECRET_PARAMETER = re.compile(rf"(?i)(?P<name>(?:^|[?&;#/_]){_SECRET_NAME}=)(?P<value>[^&]*)", re.DOTALL)
_UNFINISHED_SECRET = re.compile(rf"(?i)[?&;#]{_SECRET_NAME}=[^&]*\Z", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_KNOWN_SCHEMES = ("rtsp://", "rtsps://", "http://", "https://", "file://")

# A word of a GStreamer pipeline: quoted stretches keep their spaces, even when the last quote is missing.
_PIPELINE_WORD = re.compile(
    r"""(?:"(?:\\.|[^"\\])*(?:"|\Z)|'(?:\\.|[^'\\])*(?:'|\Z)|\\.|[^\s"'\\]|\\)+""", re.DOTALL
)
_PROPERTY = re.compile(r"""(?P<name>[^=\s"'/]+=)(?P<value>.*)""", re.DOTALL)
_SECRET_PROPERTY = re.compile(rf"(?i){_SECRET_NAME}=\Z")


def redact(url: str) -> str:
    """`url` with every password and every query parameter that looks secret replaced by `***`."""
    if url.lower().startswith("opencv:"):
        scheme, _, expression = url.partition(":")
        return f"{scheme}:{_redact_expression(expression)}"
    return _redact_url(url)


def _redact_expression(expression: str) -> str:
    if _SCHEME.match(expression) and "!" not in expression.split():
        return _redact_url(expression)
    return _PIPELINE_WORD.sub(lambda word: _redact_word(word[0]), expression)


def _redact_word(word: str) -> str:
    found = _PROPERTY.fullmatch(word)
    if found is None:
        return _redact_quoted(word)
    if _SECRET_PROPERTY.search(found["name"]):
        return found["name"] + HIDDEN
    return found["name"] + _redact_quoted(found["value"])


def _redact_quoted(value: str) -> str:
    quote = value[0] if value[:1] in ('"', "'") else ""
    closing = quote if quote and len(value) > 1 and value.endswith(quote) else ""
    return quote + _redact_url(value[len(quote) : len(value) - len(closing)]) + closing


def _redact_url(url: str) -> str:
    return _SECRET_PARAMETER.sub(rf"\g<name>{HIDDEN}", _redact_userinfo(url))


def _redact_userinfo(url: str) -> str:
    """Hide what stands between the first `:` after the scheme and the last `@`."""
    found = _SCHEME.match(url)
    scheme = found[0] if found else ""
    before, at, after = url[len(scheme) :].rpartition("@")
    user, colon, password = before.partition(":")
    if at and not colon and scheme and scheme.lower() not in _KNOWN_SCHEMES:
        return f"{scheme}{HIDDEN}@{after}"  # what looks like a scheme may be a user's name
    if not (at and colon):
        return url
    if _UNFINISHED_SECRET.search(password):  # the "@" was inside a secret parameter, which goes on after it
        _, ampersand, rest = after.partition("&")
        after = HIDDEN + ampersand + rest
    return f"{scheme}{user}:{HIDDEN}@{after}"
