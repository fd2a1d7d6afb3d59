"""Subscribing from a script: frames as they come, of a stage or straight from one publisher.

Rules kept here: a subscription connects to publishers that appear later by itself; iterating never hides a
drop (`Subscription.counts` names every one); whoever waits for a frame is let go when the subscription ends,
and told when that was by a failure; a reader that went away (a task cancelled, an event loop closed) harms
nobody; closing ends every thread, whatever else goes wrong.
"""

import contextlib
import ipaddress
import re
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from mesh.claims import Claims
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ConfigError
from mesh.follow import follow_streams
from mesh.frame import EndOfStream, Frame
from mesh.inbox import DEFAULT_DEPTH, Inbox, Item, Policy, StreamCount
from mesh.names import check_name, check_partitions
from mesh.registry import Registry
from mesh.scope import Scope
from mesh.transport import Subscriber
from mesh.views import AUTO, Views, check_view
from mesh.wire import Topic, View

if TYPE_CHECKING:
    import asyncio  # where it is used: it takes a while, and most have no use for it

E = TypeVar("E", bound=StrEnum)

_TCP = re.compile(r"tcp://(?:\[(?P<v6>[^\[\]]+)\]|[\w.-]+):(?P<port>[0-9]{1,5})")
_IPC = re.compile(r"ipc://\S+")


def check_endpoint(endpoint: str) -> str:
    """`endpoint`, when it is one that can be connected to: `tcp://HOST:PORT`, or `ipc://PATH` on this host.

    Raises `ConfigError`.
    """
    tcp = _TCP.fullmatch(endpoint)
    if tcp is not None and 0 < int(tcp["port"]) < 65536 and _is_v6(tcp["v6"] or "::"):
        return endpoint
    if _IPC.fullmatch(endpoint):
        return endpoint
    raise ConfigError(f"{endpoint!r} is no publisher's address: use tcp://HOST:PORT")


def _is_v6(address: str) -> bool:
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True


def _choice(kind: type[E], what: str, value: str) -> E:
    try:
        return kind(value)
    except ValueError:
        raise ConfigError(f"{what} {value!r} is none of {', '.join(kind)}") from None


class Subscription:
    """Frames as they come. Iterate it with `for` or `async for`, or call `get`; close it when done.

    It is made by `Mesh.subscribe`, or by `mesh.subscribe` for a publisher whose address is known.
    """

    def __init__(
        self,
        stage: str,
        camera: str | None,
        *,
        registry: Registry | None = None,
        endpoint: str | None = None,
        policy: str = Policy.LATEST,
        depth: int = DEFAULT_DEPTH,
        max_age: float | None = None,
        view: str = AUTO,
        until_end: bool = False,
        partitions: int = 1,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        check_name("stage", stage)
        if camera is not None:
            check_name("camera", camera)
        if endpoint is not None:
            check_endpoint(endpoint)
        self.closed = False
        self._view = check_view(view)
        self._until_end = until_end
        self._ended: set[tuple[int, int]] = set()  # boot and partition
        self._waiters: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()
        self._clock = clock
        self._held: Item | None = None
        self._told = False
        claims = Claims(lambda camera: self._views.give_up(camera))
        self._inbox = Inbox(
            _choice(Policy, "policy", policy),
            depth=depth,
            max_age_s=max_age,
            on_ready=self._wake,
            on_room=lambda: self._subscriber.made_room(),
            claim=claims.claim,
            clock=clock,
        )
        if endpoint is not None and self._inbox.consumes and camera is None:
            raise ConfigError("policy 'lossless' needs the camera named here, or a registry to go through")
        self._scope = Scope(f"subscribe {stage}/{camera or '*'}")
        self._scope.on_stop(self._inbox.close)
        self._subscriber = Subscriber(
            self._scope,
            claims.before(self._inbox.offer_all),
            consumer=f"script-{secrets.token_hex(6)}",
            clock=clock,
        )
        self._views = Views(self._subscriber, stage)
        if endpoint is not None:
            self._reach(endpoint, stage, camera, check_partitions(partitions))
        elif registry is not None:
            self._follow(registry, stage, camera)

    def __repr__(self) -> str:
        return f"<Subscription {self._scope.name} {self._inbox!r}>"

    def get(self, timeout: float | None = None) -> Frame | None:
        """The next frame; None when `timeout` seconds pass first, or when the subscription has ended.

        Raises what made the subscription fail, if something did.
        """
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - self._clock.monotonic())
            item = self._inbox.take(left, self._let_go())
            if item is None:
                self._tell_failure()
                return None
            if isinstance(item, Frame):
                self._held = item
                return item
            self._pass_end(item)

    def counts(self) -> tuple[StreamCount, ...]:
        """What became of every frame, for each stream."""
        return self._inbox.counts()

    def close(self) -> None:
        """End every thread. Raises what made the subscription fail, unless a reader has been told."""
        self.closed = True
        try:
            if (held := self._let_go()) is not None:
                self._inbox.settle(held)
            self._inbox.close()
        finally:
            self._scope.stop()
            self._scope.join()
        if not self._told:
            self._tell_failure()

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.get()) is not None:
            yield frame

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while True:
            ready = self._waiter()
            ended = self._inbox.closed  # before the look: what it says then is the last word
            frame = self.get(0)
            if frame is not None:
                ready.cancel()
                yield frame
            elif ended:
                return
            else:
                await ready

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _reach(self, endpoint: str, stage: str, camera: str | None, partitions: int) -> None:
        view = self._view or _nearest(endpoint, self._inbox.policy)
        self._views.take(camera, view)
        # Whether the stream is lossless is not known here; the publisher of one that is not heeds no credits.
        if self._inbox.consumes and view is View.FRAME and camera is not None:
            for number in range(partitions):
                room = partial(self._inbox.room, stage, camera, number, partitions)
                self._subscriber.consume(Topic(View.FRAME, stage, camera, number), room)
        self._subscriber.connect(endpoint)

    def _follow(self, registry: Registry, stage: str, camera: str | None) -> None:
        follow_streams(
            self._scope,
            registry,
            self._subscriber,
            stage,
            camera,
            view=self._view,
            views=self._views,
            inbox=self._inbox,
            clock=self._clock,
        )

    def _tell_failure(self) -> None:
        if self._scope.error is not None:
            self._told = True
            raise self._scope.error

    def _let_go(self) -> Item | None:
        """What was held."""
        with self._lock:  # `close` may come from another thread than `get`
            held, self._held = self._held, None
        return held

    def _pass_end(self, end: EndOfStream) -> None:
        self._inbox.settle(end)
        self._ended.add((end.boot, end.partition))
        if self._until_end and sum(boot == end.boot for boot, _ in self._ended) >= end.partitions:
            self._scope.stop()

    def _waiter(self) -> "asyncio.Future[None]":
        import asyncio

        loop = asyncio.get_running_loop()
        future = loop.create_future()
        with self._lock:
            self._waiters = {f: at for f, at in self._waiters.items() if not f.done()}
            self._waiters[future] = loop
        return future

    def _wake(self) -> None:
        if not self._waiters:  # whoever comes now looks into the inbox after saying that it waits
            return
        with self._lock:
            waiters, self._waiters = self._waiters, {}
        for future, loop in waiters.items():
            if not future.done():
                with contextlib.suppress(RuntimeError):  # its loop was closed: nobody waits there any more
                    loop.call_soon_threadsafe(_release, future)


def _nearest(endpoint: str, policy: Policy) -> View:
    """Pixels in shared memory from a publisher on this host, for frames that are taken at once."""
    return View.SHM if endpoint.startswith("ipc://") and policy is Policy.LATEST else View.FRAME


def _release(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def subscribe(
    endpoint: str,
    stage: str = "raw",
    camera: str | None = None,
    *,
    policy: str = Policy.LATEST,
    depth: int = DEFAULT_DEPTH,
    max_age: float | None = None,
    view: str = AUTO,
    until_end: bool = False,
    partitions: int = 1,
) -> Subscription:
    """Frames straight from a publisher at `endpoint` (`tcp://HOST:PORT`), without a registry.

    The options are those of `Mesh.subscribe`; with policy "lossless" the camera has to be named, and how many
    `partitions` it has. Raises `ConfigError` for an address or an option that is none.
    """
    return Subscription(
        stage,
        camera,
        endpoint=endpoint,
        policy=policy,
        depth=depth,
        max_age=max_age,
        view=view,
        until_end=until_end,
        partitions=partitions,
    )
