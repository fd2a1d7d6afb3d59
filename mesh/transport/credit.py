"""Flow control for lossless streams: pure state machines for both ends of a topic.

Rules kept here: a message is sent only when every consumer has said that it has room for it; it is kept until
every consumer has said that it took it in, and sent again when one did not; a consumer that has said nothing
for a while is cut off, so that it cannot stall the rest for ever; the window is bounded.

A consumer's credit says: "of this run and boot I have everything below `next`, and room for `room` more". It
is repeated once a second, so that a lost one does no harm, and doubles as the consumer's heartbeat. A message
says from which number on messages can still be had (`flow`), so that a consumer that was cut off knows what
is gone for good. This is go-back-N with a window that the consumers set.
"""

from collections import deque
from dataclasses import dataclass, field, replace

from mesh.wire import Credit, Message

WINDOW = 32
WINDOW_BYTES = 16 * 1024 * 1024
CUT_OFF_S = 10.0
RESEND_S = 1.0
NOTHING = (-1, -1)  # run and boot of a consumer that has had nothing yet


@dataclass(slots=True)
class _Consumer:
    next: int
    room: int
    heard_at: float
    sent_at: float


@dataclass(slots=True)
class Flow:
    """The publishing end of one lossless topic.

    hold:  whether to wait for a first consumer; without it a stream that nobody consumes runs on
    """

    run: int
    hold: bool
    boot: int = 0
    next: int = 0
    ended: bool = False
    _kept: deque[tuple[Message, int]] = field(default_factory=deque)  # with its size in bytes
    _bytes: int = 0
    _consumers: dict[str, _Consumer] = field(default_factory=dict)

    @property
    def consumers(self) -> frozenset[str]:
        return frozenset(self._consumers)

    @property
    def base(self) -> int:
        """The lowest number that can still be had."""
        return self._kept[0][0].n if self._kept else self.next

    @property
    def is_settled(self) -> bool:
        """Whether every consumer has everything."""
        return not self._kept

    def is_open(self) -> bool:
        """Whether the next message may be sent."""
        if not self._consumers:
            return not self.hold
        if self._kept and (len(self._kept) >= WINDOW or self._bytes >= WINDOW_BYTES):
            return False
        return all(self.next < c.next + c.room for c in self._consumers.values())

    def sent(self, message: Message, size: int, now: float) -> None:
        """Message `next`, of so many bytes, has been sent."""
        for consumer in self._consumers.values():
            if consumer.next == self.next:  # it had everything: the time to answer begins
                consumer.sent_at = now
        if self._consumers:
            self._kept.append((message, size))
            self._bytes += size
        self.next += 1

    def begin(self, boot: int) -> None:
        """A new boot, whose messages are numbered from 0. The former one's should be settled."""
        self.boot, self.next, self.ended, self._bytes = boot, 0, False, 0
        self._kept.clear()
        for consumer in self._consumers.values():
            consumer.next = 0

    def credit(self, credit: Credit, now: float) -> None:
        """Take in what a consumer says. One that is new gets what can still be had, or what it lacks."""
        mine = (credit.run, credit.boot) == (self.run, self.boot)
        consumer = self._consumers.get(credit.consumer)
        if consumer is None:
            joins_at = min(max(credit.next, self.base), self.next) if mine else self.base
            consumer = _Consumer(joins_at, credit.room, now, sent_at=now - RESEND_S)
            self._consumers[credit.consumer] = consumer
        consumer.heard_at, consumer.room = now, credit.room
        if mine and consumer.next < credit.next <= self.next:
            consumer.next, consumer.sent_at = credit.next, now
        self._forget()

    def cut_off(self, now: float) -> list[str]:
        """Let go of the consumers that have been silent for too long; their names."""
        silent = [name for name, c in self._consumers.items() if now - c.heard_at >= CUT_OFF_S]
        for name in silent:
            del self._consumers[name]
        self._forget()
        return silent

    def resend(self, now: float) -> list[Message]:
        """Messages to send again, because a consumer should have said that it has them by now."""
        late = [c for c in self._consumers.values() if c.next < self.next and now - c.sent_at >= RESEND_S]
        for consumer in late:
            consumer.sent_at = now
        first = min((c.next for c in late), default=self.next)
        return [replace(message, flow=self.base) for message, _ in self._kept if message.n >= first]

    def _forget(self) -> None:
        lowest = min((c.next for c in self._consumers.values()), default=self.next)
        while self._kept and self._kept[0][0].n < lowest:
            _, size = self._kept.popleft()
            self._bytes -= size


@dataclass(slots=True)
class Receipt:
    """The consuming end of one lossless topic: what has been taken in."""

    consumer: str
    topic: bytes
    run: int = NOTHING[0]
    boot: int = NOTHING[1]
    next: int = 0

    def takes(self, message: Message) -> bool:
        """Whether a message is the one to take in; what is early is sent again, what is late was had."""
        base = message.flow or 0
        if (message.run, message.body.boot) != (self.run, self.boot):
            taken = message.n <= base  # another boot or publisher, or the first: from the beginning
        elif message.n > self.next:
            taken = base > self.next  # what lies between is gone for good; else it is sent again
        else:
            taken = message.n == self.next
        if taken:
            self.run, self.boot, self.next = message.run, message.body.boot, message.n + 1
        return taken

    def credit(self, room: int) -> Credit:
        return Credit(self.consumer, self.topic, max(0, self.run), max(0, self.boot), self.next, room)
