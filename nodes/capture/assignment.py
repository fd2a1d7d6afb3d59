"""One configured camera that this node is to capture: its name taken, captured, tried again, let go of.

Rules kept here: nothing is captured before the camera's name is this node's, so that it is on one node only;
a name that another node holds is waited for, without asking again and again; one that a registry forgot is
not free before its holder had time to say that it lives; what the next capture is numbered by is greater than
what is known of the last one, wherever that was, and counts by the registry's time; one that has ended by
itself is not captured again, but listed as ended by whoever has it, until its setup changes; one that is
configured as paused is not opened, whoever has it.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mesh.control import ControlRefused, Later
from mesh.errors import ConfigError, MeshError
from mesh.follow import Picture
from mesh.frame import draw_boot
from mesh.registry.holder import OVER
from mesh.registry.records import CameraCount, CameraRecord, CameraState, StreamRecord
from mesh.registry.setups import CameraSetup
from mesh.scope import Scope
from nodes.capture.asked import told
from nodes.capture.camera import Camera
from nodes.capture.clockwork import Clockwork
from nodes.capture.feed import STAGE
from nodes.capture.setup import config_of, print_of
from nodes.capture.sources.reactor import Reactor
from nodes.capture.valve import Valve
from nodes.node import Node
from nodes.secrets import Secrets, shown

log = logging.getLogger(__name__)

TRY_AGAIN_S = 30.0  # a camera that has failed for good
ASK_AGAIN_S = 1.0  # a registry that is away
END_REPEATS = 2
END_REPEAT_S = 0.1


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the cameras of one node have in common.

    over:   told each time that one has let go
    ended:  the record of a camera that ended by itself, here or elsewhere, captured as it is configured now
    """

    node: Node
    reactor: Reactor
    clockwork: Clockwork
    secrets: Secrets
    over: Callable[[], None]
    ended: Callable[[CameraSetup], CameraRecord | None]


class Assignment:
    """Holds one camera on a thread of its own, from `start` until `stop`.

    boot:  what the numbers of its captures are to be greater than
    """

    def __init__(self, setup: CameraSetup, around: Surroundings, boot: int) -> None:
        self.setup = setup
        self._around = around
        self._node, self._clock = around.node, around.node.clock
        self._presence = around.node.presence
        self._boot = boot
        self._holder = ""  # of the camera's name, as last told of
        self._record = CameraRecord(name=setup.name, source=shown(setup.url), node=self._node.id)
        self._scope = Scope(f"camera {setup.name}", self._node.scope)
        self._turn = Scope(setup.name)  # as long as the name is this node's
        self._camera: Camera | None = None
        self._valve = Valve(self._hurry)
        self._paused = self._told_paused = setup.paused
        self._settings: dict[str, Any] = {}  # that were set since
        self._is_done = False
        self._ended = threading.Event()
        self._unwaited = threading.Event()

    def __repr__(self) -> str:
        state = "over" if self.over else "stopping" if self._scope.stopping.is_set() else "on"
        return f"<Assignment {self.setup.name} {state} {self._camera!r}>"

    @property
    def over(self) -> bool:
        """Whether it has let go of the camera."""
        return self._ended.is_set()

    @property
    def boot(self) -> int:
        """The number of the newest capture of this camera that is known."""
        return self._boot

    def count(self) -> CameraCount | None:
        """What its newest capture has counted; None while there is nothing to tell."""
        count = self._camera.count() if self._camera is not None else None
        return count if count is not None and (count.captured or count.dropped) else None

    @property
    def is_over(self) -> bool:
        return self._is_done or (self._camera is not None and self._camera.is_over)

    @property
    def is_paused(self) -> bool:
        return self._paused and not self.is_over

    def pause(self) -> Later:
        """Have it rest, here and in captures to come; answered once it does. Raises `ControlRefused`."""
        self._check_on()
        self._paused = True
        if (camera := self._camera) is not None:
            return camera.pause()
        done = Later()
        done.give(None)
        return done

    def resume(self) -> None:
        """Raises `ControlRefused`."""
        self._check_on()
        self._paused = False
        if (camera := self._camera) is not None:
            camera.resume()

    def follow(self, setup: CameraSetup) -> None:
        """Pause or resume as the configuration says, where it says something else than before."""
        if setup.paused == self._told_paused:
            return
        self._told_paused = self._paused = setup.paused
        with contextlib.suppress(ControlRefused):  # it is over: the next capture begins so
            (self.pause if setup.paused else self.resume)()

    def snapshot(self) -> Later:
        """Raises `ControlRefused`."""
        self._check_on()
        if (camera := self._camera) is None:
            raise ControlRefused(f"camera {self.setup.name} is not captured yet: another node holds its name")
        return camera.snapshot()

    def set(self, settings: Mapping[str, Any]) -> None:
        """Raises `ControlRefused`."""
        self._check_on()
        self._settings |= settings
        if (camera := self._camera) is not None:
            camera.set(settings)

    def status(self) -> dict[str, Any]:
        if (camera := self._camera) is not None:
            return camera.status()
        in_force = {"fps": self.setup.fps, "quality": self.setup.quality} | self._settings
        return told(self._record, captured=0, paused=self._paused, **in_force)

    def _check_on(self) -> None:
        if self.is_over:
            raise ControlRefused(f"camera {self.setup.name} has {self._how_it_is()}")

    def _how_it_is(self) -> str:
        record = self._camera.record if self._camera is not None else self._record
        return f"{record.state}: {record.why}" if record.why else str(record.state)

    def start(self) -> None:
        self._scope.spawn("capture", self._run)

    def stop(self) -> None:
        """Let go of the camera soon. Safe to call again."""
        self._scope.stop()
        self._hurry()

    def hurry(self) -> None:
        """Wait for no consumer any more when letting go."""
        self._unwaited.set()
        self._node.publisher.wake()

    def join(self) -> None:
        self._scope.join()

    def lost(self) -> None:
        """Another node has taken the camera's name, while this one could not hold it."""
        self._turn.stop()
        self._hurry()

    def _hurry(self) -> None:
        """Have whoever waits for pictures, or for consumers, look whether it is to stop."""
        self._around.reactor.wake()
        self._node.publisher.wake()

    def _stop_camera(self) -> None:
        self._valve.stop()

    def _run(self) -> None:
        try:
            while not self._scope.stopping.is_set():
                self._turn = Scope(self.setup.name)
                self._turn.on_stop(self._stop_camera)
                self._scope.on_stop(self._turn.stop)
                if self._take() and not self._keep_ended():
                    self._keep()
            self._let_go()
        finally:
            self._ended.set()
            self._around.over()

    def _take(self) -> bool:
        """Wait until the camera's name is this node's; False when it is time to stop."""
        while not self._turn.stopping.is_set():
            try:
                holder = self._presence.take_camera(self._record)
                if holder is None:
                    return True
                self._meet(holder)
                self._await_free()
            except MeshError as error:
                log.debug("camera %s: its name could not be taken: %s", self.setup.name, error)
                self._clock.wait(self._turn.stopping, ASK_AGAIN_S)
        return False

    def _meet(self, holder: CameraRecord) -> None:
        if holder.node != self._holder:
            log.info("camera %s is captured by node %s: waiting for it", self.setup.name, holder.node)
        self._holder = holder.node
        self._boot = max(self._boot, holder.boot)

    def _await_free(self) -> None:
        """Wait until nobody holds the camera's name, as far as the registry knows, or it is time to stop."""
        key, picture = self._record.key, Picture(gone_s=0.0)
        with self._node.registry.watch(key) as watch:
            self._scope.on_stop(watch.close)
            while not watch.closed:
                event = watch.get(picture.patience(self._clock.monotonic()))
                now = self._clock.monotonic()
                if event is not None:
                    picture.apply(event, now)
                picture.fade(now)
                holder = picture.entries.get(key)
                if picture.synced and (holder is None or holder.value.get("state") in OVER):
                    return

    def _keep_ended(self) -> bool:
        """Go on listing a camera that has ended, for as long as its name is ours; False if it has not."""
        record = self._around.ended(self.setup)
        if record is None:
            return False
        self._boot, self._is_done = max(self._boot, record.boot), True
        self._presence.show(record.model_copy(update={"node": self._node.id}))
        self._turn.stopping.wait()
        return True

    def _show(self, record: CameraRecord) -> None:
        """List the camera's state, and whether it has ended by itself: not because it was stopped."""
        if record.state is CameraState.ENDED and not self._turn.stopping.is_set():
            self._is_done = True
            record = record.model_copy(update={"done": print_of(self.setup)})
        self._presence.show(record)

    def _keep(self) -> None:
        """Capture the camera for as long as its name is this node's."""
        while not self._turn.stopping.is_set():
            state = self._capture()
            if state is CameraState.FAILED:
                self._clock.wait(self._turn.stopping, TRY_AGAIN_S)
            else:
                self._turn.stopping.wait()  # a file has ended, once, or it was stopped
        self._presence.withdraw(self._stream())

    def _capture(self) -> CameraState:
        """Capture until the source ends, has failed for good, or it is time to stop."""
        self._boot = max(draw_boot(self._presence.registry_ns()), self._boot + 1)
        try:
            config = config_of(self.setup, self._around.secrets.read())
        except ConfigError as error:
            log.error("camera %s has failed: %s", self.setup.name, error)
            failed = {"state": CameraState.FAILED, "why": str(error)}
            self._presence.show(self._record.model_copy(update=failed))
            return CameraState.FAILED
        self._valve = valve = Valve(self._hurry, paused=self._paused)
        self._camera = camera = Camera(
            replace(config, **self._settings),
            self._node.publisher,
            valve,
            show=self._show,
            settled=lambda: None,
            clock=self._clock,
            clockwork=self._around.clockwork,
            reactor=self._around.reactor,
            boot=self._boot,
        )
        if self._turn.stopping.is_set():
            valve.stop()  # `_stop_camera` may have met the former one
        if config.lossless:
            self._node.publisher.lossless(STAGE, config.name, hold=True, partitions=config.partitions)
        self._presence.show(self._stream())
        camera.run()
        return camera.record.state

    def _let_go(self) -> None:
        """Free the camera's name, and say again that the stream has ended: a subscriber whose queue was full
        may have missed it. Lossless consumers, where there are any, are waited for first, as long as a node
        may take to drain."""
        over = self._unwaited
        waiting = threading.Timer(self._node.drain_s, self.hurry)
        waiting.start()
        try:
            if self.setup.lossless:
                self._say_end(over)
            if not (self._is_done and self._node.scope.stopping.is_set()):  # else it stands in its last words
                self._presence.withdraw(self._record)
            for _ in range(END_REPEATS if self._camera is not None else 0):
                self._clock.wait(over, END_REPEAT_S)
                self._say_end(over)
        finally:
            waiting.cancel()
            waiting.join()
        self._node.publisher.rest(STAGE, self.setup.name)

    def _say_end(self, over: threading.Event) -> None:
        if self._camera is not None:
            self._camera.feed.end_at_last(over)

    def _stream(self) -> StreamRecord:
        setup = self.setup
        return self._presence.node.stream(
            STAGE, setup.name, lossless=setup.lossless, partitions=setup.partitions
        )
