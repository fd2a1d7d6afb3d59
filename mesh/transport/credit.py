"""Flow control for lossless streams: pure state machines for both ends of a topic.

Rules kept here: a message is sent only when every consumer has said that it has room for it; it is kept until
every consumer has said that it took it in, and sent again when one did not; a consumer that has said nothing
for a while is cut off, so that it cannot stall the rest for ever; one that lets go is not waited for any
more, and what it left is kept for whoever joins; the window is bounded, and a camera's partitions share it;
each publisher's run of a topic has numbers of its own, and is confirmed by itself.

A consumer's credit says: "of this run and boot I have everything below `next`, and room for `room` more", and
whether it misses something, because a later message came. It is repeated once a second, so that a lost one
does no harm, and doubles as the consumer's heartbeat. A message says from which number on messages can still
be had (`flow`), so that a consumer that was cut off knows what is gone for good.

This is go-back-N with a window that the consumers set. What is missed is sent again with all that follows.
What is merely not confirmed yet may be on a slow link: only the first of it is sent again, after twice the
time that messages take there, and twice that when it does not help. The time is measured on those that were
sent once (Karn and Partridge, "Improving round-trip time estimates in reliable transport protocols", 1987).
"""

from collections import deque
from dataclasses import dataclass, field, replace

from mesh.wire import Credit, Message

WINDOW = 32
WINDOW_BYTES = 16 * 1024 * 1024
CUT_OFF_S = 10.0
RESEND_S = 1.0  # for what is not confirmed, at least
MISSING_S = 0.1  # for what is known to be missing
PAUSE_MOST_S = 60.0
NOTHING = -1  # the boot of what nothing has come of yet
RUNS_KEPT = 8  # of one topic, by a consumer


@dataclass(slots=True)
class _Kept:
    """A message that not everybody has confirmed."""

    message: Message
    size: int
    sent_at: float
    again: bool = False


@dataclass(slots=True)
class _Consumer:
    """`since` is when it last got on, or was sent something to get on with; `probe` is how many messages are
    sent again to it when it does not within `pause_s`."""

    next: int
    room: int
    heard_at: float
    since: float
    missing: bool
    pause_s: float = RESEND_S
    probe: int = 1

    def gets_on(self, following: int, now: float, took_s: float | None) -> None:
        """It has everything below `following`; the last of it took so long, if that is known."""
        self.next, self.since = following, now
        if took_s is None:
            # What was sent again was what it lacked: it may well lack more, but never more than is kept.
            self.probe = min(WINDOW, 2 * self.probe)
        else:
            self.pause_s, self.probe = max(RESEND_S, 2 * took_s), 1

    def wants(self, now: float) -> range:
        """The numbers to send to it again now."""
        waited = now - self.since
        if self.missing and waited >= MISSING_S:
            return range(self.next, self.next + WINDOW)
        return range(self.next, self.next + (self.probe if waited >= self.pause_s else 0))

    def was_sent_again(self, now: float) -> None:
        if not self.missing:
            self.pause_s = min(PAUSE_MOST_S, 2 * self.pause_s)
        self.since, self.missing = now, False


@dataclass(slots=True)
class Flow:
    """The publishing end of one lossless topic.

    hold:    whether to wait for a first consumer; without it a stream that nobody consumes runs on
    shares:  among how many partitions the window is divided
    """

    run: int
    hold: bool
    shares: int = 1
    boot: int = 0
    next: int = 0
    ended: bool = False
    _kept: deque[_Kept] = field(default_factory=deque)
    _bytes: int = 0
    _consumers: dict[str, _Consumer] = field(default_factory=dict)

    @property
    def consumers(self) -> frozenset[str]:
        return frozenset(self._consumers)

    @property
    def base(self) -> int:
        """The lowest number that can still be had."""
        return self._kept[0].message.n if self._kept else self.next

    @property
    def is_settled(self) -> bool:
        """Whether every consumer has everything."""
        return not self._kept

    def is_open(self) -> bool:
        """Whether the next message may be sent."""
        if not self._consumers:
            return not self.hold
        if self._kept and self._is_full:
            return False
        return all(self.next < c.next + c.room for c in self._consumers.values())

    @property
    def _is_full(self) -> bool:
        full = len(self._kept) * self.shares >= WINDOW
        return full or self._bytes * self.shares >= WINDOW_BYTES

    def sent(self, message: Message, size: int, now: float) -> None:
        """Message `next`, of so many bytes, has been sent."""
        for consumer in self._consumers.values():
            if consumer.next == self.next:  # it had everything: the time to answer begins
                consumer.since = now
        if self._consumers:
            self._kept.append(_Kept(message, size, now))
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
            consumer = _Consumer(joins_at, credit.room, now, now - MISSING_S, joins_at < self.next)
            self._consumers[credit.consumer] = consumer
        consumer.heard_at, consumer.room = now, credit.room
        if mine and consumer.next < credit.next <= self.next:
            consumer.gets_on(credit.next, now, self._took(credit.next - 1, now))
        consumer.missing = consumer.missing or (mine and credit.missing)
        self._forget()

    def release(self, name: str) -> None:
        """A consumer lets go. Where the stream waits for consumers, what the last one had not confirmed is
        kept: who joins next begins there."""
        if self._consumers.pop(name, None) is not None and (self._consumers or not self.hold):
            self._forget()

    def silent(self, now: float, for_s: float) -> list[str]:
        """The consumers that have said nothing for so long."""
        return [name for name, consumer in self._consumers.items() if now - consumer.heard_at >= for_s]

    def cut_off(self, now: float) -> list[str]:
        """Let go of the consumers that have been silent for too long; their names."""
        silent = self.silent(now, CUT_OFF_S)
        for name in silent:
            self.release(name)
        return silent

    def resend(self, now: float) -> list[Message]:
        """Messages to send again, because a consumer should have said that it has them by now."""
        wanted: set[int] = set()
        for consumer in self._consumers.values():
            numbers = consumer.wants(now) if consumer.next < self.next else range(0)
            if numbers:
                wanted.update(numbers)
                consumer.was_sent_again(now)
        again = [kept for kept in self._kept if kept.message.n in wanted]
        for kept in again:
            kept.again = True
        return [replace(kept.message, flow=self.base) for kept in again]

    def _took(self, n: int, now: float) -> float | None:
        """How long message `n` took to be confirmed; None when it was sent more than once."""
        kept = self._kept[n - self.base] if self.base <= n < self.next and self._kept else None
        return None if kept is None or kept.again else now - kept.sent_at

    def _forget(self) -> None:
        lowest = min((c.next for c in self._consumers.values()), default=self.next)
        while self._kept and self._kept[0].message.n < lowest:
            self._bytes -= self._kept.popleft().size


@dataclass(slots=True)
class Receipt:
    """What has been taken in of one publisher's run of a topic."""

    run: int
    heard_at: float
    boot: int = NOTHING
    next: int = 0
    missing: bool = False  # a later message came

    def takes(self, message: Message) -> bool:
        """Whether a message is the one to take in: the next, or the first that can still be had. What is
        early is sent again, what is late was had."""
        if message.body.boot != self.boot:
            self.boot, self.next, self.missing = message.body.boot, 0, False
        taken = message.n == max(self.next, message.flow or 0)
        if taken:
            self.next = message.n + 1
        self.missing = not taken and (self.missing or message.n > self.next)
        return taken


class Receipts:
    """The consuming end of one lossless topic, with a receipt for each publisher's run that gives it: there
    are two while one hands its work over to another."""

    __slots__ = ("_consumer", "_runs", "_topic")

    def __init__(self, consumer: str, topic: bytes) -> None:
        self._consumer = consumer
        self._topic = topic
        self._runs: dict[int, Receipt] = {}

    def takes(self, message: Message, now: float) -> bool:
        """Whether a message is the one of its run to take in."""
        receipt = self._runs.get(message.run)
        if receipt is None:
            receipt = self._begin(message.run, now)
        receipt.heard_at = now
        return receipt.takes(message)

    def credits(self, room: int, now: float) -> list[Credit]:
        """What to say: a credit for each run that goes on, or went on last; these share the room."""
        live = [receipt for receipt in self._runs.values() if now - receipt.heard_at < CUT_OFF_S]
        if not live:
            live = sorted(self._runs.values(), key=lambda receipt: receipt.heard_at)[-1:]
        if not live:
            return [Credit(self._consumer, self._topic, 0, 0, 0, room)]
        share = -(-room // len(live))
        return [Credit(self._consumer, self._topic, r.run, r.boot, r.next, share, r.missing) for r in live]

    def _begin(self, run: int, now: float) -> Receipt:
        if len(self._runs) >= RUNS_KEPT:
            del self._runs[min(self._runs.values(), key=lambda receipt: receipt.heard_at).run]
        receipt = self._runs[run] = Receipt(run, now)
        return receipt
