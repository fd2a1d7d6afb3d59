"""What an HTTP answer to a webhook means for its frames. Pure.

Rules kept here: what is wrong with the way there (its address, its password, its secret, its load) is tried
again, however long it takes, for a person can mend it; only what the receiver says of a message itself
refuses it for good. A 400 says either: many receivers answer so where a signature is not as they have it. It
is of the way until the receiver has taken something.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from http import HTTPStatus

MOST_RETRY_AFTER_S = 3600.0

BAD_REQUEST = 400
_OF_THE_WAY = {
    BAD_REQUEST: ", and has taken nothing yet: check the secret here and there, and this machine's clock",
    401: ": it wants another user, password or token",
    403: ": this is not allowed with that user, password or token",
    404: ": check the path",
    405: ": it takes no POST there: check the path",
    407: ": the proxy wants a user and a password",
    410: ": nobody wants it there any more: take this destination away",
}
_LATER = frozenset((402, 408, 421, 423, 425, 429))
TOO_LARGE = 413


class Verdict(Enum):
    DONE = auto()
    AGAIN = auto()
    SMALLER = auto()  # less at a time, and what is alone already is refused
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """`retry_after` is the header, as it came."""

    status: int
    retry_after: str = ""


def judge(status: int, *, has_taken: bool) -> Verdict:
    """What becomes of the frames that were answered so, by a receiver that has taken some before or not."""
    if 200 <= status < 300:
        return Verdict.DONE
    if status == TOO_LARGE:
        return Verdict.SMALLER
    if status == BAD_REQUEST and has_taken:
        return Verdict.REFUSED
    if 400 <= status < 500 and status not in _OF_THE_WAY and status not in _LATER:
        return Verdict.REFUSED
    return Verdict.AGAIN


def said(status: int, verdict: Verdict) -> str:
    """An answer that is no success, in words."""
    try:
        name = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        name = str(status)
    if 300 <= status < 400:
        return f"it answers {name}: a webhook is not sent on to elsewhere: give the address where that ends"
    return f"it answers {name}{_OF_THE_WAY.get(status, '') if verdict is Verdict.AGAIN else ''}"


def retry_after_s(answer: Answer, now_ns: int) -> float:
    """Seconds that the other end asks to be left alone (RFC 9110, 10.2.3), an hour at most; or 0."""
    text = answer.retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MOST_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return 0.0
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    now = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
    seconds = (aware - now).total_seconds()
    return min(max(0.0, seconds), MOST_RETRY_AFTER_S) if math.isfinite(seconds) else 0.0
