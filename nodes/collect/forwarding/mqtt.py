"""Carries recorded frames to an MQTT broker; `docs/forwarding.md` tells topics and fields.

Rules kept here: a frame is done when the broker acknowledged all its messages; a connection that broke begins
anew, with all that was not acknowledged, in order; what a broker refuses as such is refused for good and
counted, what it refuses for who we are waits until it lets us; a frame on which it breaks off again and
again, sent alone, is refused for good, so that it does not keep the others.
"""

from collections import deque
from typing import TYPE_CHECKING

from mesh.backoff import Backoff
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ConfigError
from mesh.frame import Frame
from mesh.scope import Scope
from mesh.transport.sockets import Waker
from nodes.collect.forwarding.address import Address
from nodes.collect.forwarding.broker import (
    PICTURE,
    WORDS,
    Acknowledged,
    Broken,
    BrokenOff,
    Broker,
    OldBroker,
    Publication,
    broker_of,
)
from nodes.collect.forwarding.carrier import Done
from nodes.collect.forwarding.message import message
from nodes.collect.forwarding.outbox import Outbox
from nodes.collect.forwarding.reasons import reason
from nodes.connection import Ended, Patience

if TYPE_CHECKING:
    from nodes.collect.forwarding.mqtt_session import Session

OPEN_S = 15.0
RETRY_S, RETRY_MOST_S = 0.5, 60.0
STEADY_S = 30.0  # a connection that lasted so long was a good one
STRIKES = 5

Form = tuple[Publication, ...]
_NO_FRAMES = -1, Publication("", b"", "")


class MqttCarrier:
    """A `Carrier` to the broker of `address`, on one thread of `scope`. Raises `ConfigError`."""

    def __init__(self, scope: Scope, address: Address, done: Done, clock: Clock = SYSTEM_CLOCK) -> None:
        self._scope, self._clock = scope, clock
        self._broker = broker_of(address)
        _check_library(self._broker)
        self._waker = Waker()
        self._outbox: Outbox[Form] = Outbox(
            self._broker.shown, self._formed, done, self._waker.wake, clock, self._broker.only_detections
        )
        self._why = ""
        self._version_5 = True
        self._suspect, self._strikes = -1, 0
        self._alone = False  # whether one frame at a time is sent, to learn which one it breaks off on
        scope.on_stop(self._waker.wake)
        scope.spawn(f"mqtt {self._broker.host}", self._run)

    def __repr__(self) -> str:
        return f"<MqttCarrier {self._outbox!r} {self._why or 'well'}>"

    @property
    def why(self) -> str:
        return self._why

    def stats(self) -> dict[str, int]:
        return self._outbox.stats()

    def offer(self, number: int, frame: Frame) -> bool:
        return self._outbox.offer(number, frame)

    def _formed(self, frame: Frame) -> tuple[int, Form]:
        picture = self._outbox.picture(frame) if self._broker.jpeg or self._broker.inline else None
        form = publications(self._broker, frame, picture)
        return sum(len(each.payload) for each in form), form

    def _run(self) -> None:
        backoff = Backoff(RETRY_S, RETRY_MOST_S)
        try:
            while not self._scope.stopping.is_set():
                if self._run_once():
                    backoff.reset()
                self._clock.wait(self._scope.stopping, backoff.next())
        finally:
            self._waker.close()

    def _run_once(self) -> bool:
        """One connection, to its end; whether it was of use."""
        from nodes.collect.forwarding.mqtt_session import Session

        patience = Patience(self._clock, self._clock.monotonic() + OPEN_S, self._scope.stopping.is_set)
        try:
            session = Session(self._broker, patience, self._version_5)
        except Ended:
            return False
        except (OSError, Broken) as error:
            self._fails(str(error) if isinstance(error, Broken) else reason(error))
            return False
        sending, began = Sending(self._outbox, session, self._alone), self._clock.monotonic()
        try:
            self._serve(session, sending)
        except OldBroker:
            self._version_5 = False
            return True
        except Broken as broken:
            self._fails(str(broken))
            if isinstance(broken, BrokenOff) and self._found_culprit(sending):
                return True
        finally:
            session.close()
            self._outbox.again(sending.on_the_way)
        return sending.acknowledged > 0 or self._clock.monotonic() - began >= STEADY_S

    def _serve(self, session: "Session", sending: "Sending") -> None:
        while not self._scope.stopping.is_set():
            answers = session.turn(self._waker.fd)
            self._waker.clear()
            sending.take(answers)
            if sending.acknowledged:
                self._alone = sending.alone = False
            sending.go_on()
            if session.is_open and (sending.acknowledged or not sending.on_the_way):
                self._why = ""  # not before: it may yet break off on what is sent

    def _fails(self, why: str) -> None:
        self._why = f"{self._broker.shown}: {why}"

    def _found_culprit(self, sending: "Sending") -> bool:
        """Look for the frame on which the broker breaks off, if there is one; whether it is refused now."""
        if sending.acknowledged or not sending.on_the_way:
            return False
        if not sending.alone:
            self._alone = True
            return False
        (number,) = sending.on_the_way
        self._strikes = self._strikes + 1 if number == self._suspect else 1
        self._suspect = number
        if self._strikes < STRIKES:
            return False
        self._alone, self._strikes = False, 0
        self._outbox.refuse((number,), f"the broker broke off on it {STRIKES} times")
        return True


class Sending:
    """What is sent in one session, and what became of it. Frames are counted, not messages."""

    def __init__(self, outbox: Outbox[Form], session: "Session", alone: bool) -> None:
        self._outbox, self._session, self.alone = outbox, session, alone
        self._rest: deque[tuple[int, Publication]] = deque()
        self._sent: dict[int, tuple[int, Publication]] = {}  # by the numbers that the session gives messages
        self._left: dict[int, int] = {}  # messages of a frame that are not acknowledged yet
        self.acknowledged = 0

    @property
    def on_the_way(self) -> list[int]:
        return list(self._left)

    def go_on(self) -> None:
        """Send what there is, as far as the session has room. Raises `Broken`."""
        while self._session.room > 0 and (self._rest or self._next()):
            number, publication = self._rest.popleft()
            self._sent[self._session.publish(publication)] = number, publication

    def take(self, answers: list[Acknowledged]) -> None:
        """See what the broker says of messages. Raises `Broken` where it may take one later."""
        finished: list[int] = []
        refused: dict[str, list[int]] = {}
        later = ""
        for answer in answers:
            number, publication = self._sent.pop(answer.mid, _NO_FRAMES)
            if number not in self._left:
                continue
            if answer.refusal and answer.may_later:
                later = answer.refusal
            elif answer.refusal and not publication.is_picture:
                del self._left[number]
                refused.setdefault(answer.refusal, []).append(number)
            else:
                if answer.refusal:
                    self._outbox.without_picture()
                if self._is_whole(number):
                    finished.append(number)
        self.acknowledged += len(finished)
        self._outbox.finish(finished)
        for why, numbers in refused.items():
            self.acknowledged += len(numbers)
            self._outbox.refuse(numbers, f"the broker says: {why}")
        if later:
            raise Broken(f"the broker takes no message of ours: {later}")

    def _is_whole(self, number: int) -> bool:
        self._left[number] -= 1
        if self._left[number]:
            return False
        del self._left[number]
        return True

    def _next(self) -> bool:
        """Take the next frame that the broker can take at all; False where there is none to take now."""
        most = self._session.most_bytes
        while not (self.alone and self._left) and (parcel := self._outbox.next()) is not None:
            *pictures, words = parcel.content
            if words.most_bytes > most:
                self._outbox.refuse((parcel.number,), f"a message is larger than the broker's {most} B")
                continue
            fitting = [each for each in pictures if each.most_bytes <= most]
            if len(fitting) < len(pictures):
                self._outbox.without_picture()
            self._rest.extend((parcel.number, each) for each in (*fitting, words))
            self._left[parcel.number] = len(fitting) + 1
            return True
        return False


def publications(broker: Broker, frame: Frame, picture: bytes | None) -> Form:
    """A frame's messages, its JSON last: who gets that has had the picture. Raises `WireError`."""
    topic = f"{broker.topic}/{frame.camera}/{frame.stage}"
    words = message(frame, picture if broker.inline else None)
    about = [(name, str(getattr(frame, name))) for name in ("camera", "boot", "seq", "part", "captured_ns")]
    said = Publication(topic, words, WORDS, tuple(about))
    if picture is None or broker.inline:
        return (said,)
    return Publication(f"{topic}/jpeg", picture, PICTURE, tuple(about)), said


def _check_library(broker: Broker) -> None:
    try:
        import nodes.collect.forwarding.mqtt_session  # noqa: F401 - whether its library is there
    except ModuleNotFoundError as error:
        raise ConfigError(f"{broker.shown} needs paho-mqtt: pip install 'framemesh[mqtt]'") from error
