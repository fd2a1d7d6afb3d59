"""`mesh up`: a site's file read, run, read again when asked, and stopped.

Rules kept here: a file that is wrong, or that could not run here, changes nothing of what runs; whoever asked
for it to be read again is told what changed, or what is wrong; the first signal to stop stops all in order,
the second at once, where it does not come together with the first; a terminal that is closed is such a
signal.
"""

import logging
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.control import ControlServer
from mesh.errors import ConfigError, MeshError
from mesh.later import ControlRefused, Later
from mesh.scope import Scope
from mesh.signals import Requests, Wakeups
from mesh.site.here import check_here
from mesh.site.keeper import Keeper
from mesh.site.local import Local, changed, check_local, check_processes, everything
from mesh.site.output import Output
from mesh.site.parts import Difference, Part, Plan, difference, plan
from mesh.site.reading import Site
from mesh.site.reloads import Reloads
from mesh.site.running import Mark
from mesh.site.supervisor import ProcessState, Supervisor
from mesh.site.terminal import Terminal

log = logging.getLogger(__name__)

RELOAD, STATUS = "reload", "status"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Stopping(MeshError):
    """Nothing is read any more."""


class Up:
    """A site that runs here.

    read:   reads its file; raises `SiteError`
    local:  knows this machine
    more:   arguments for every process
    """

    def __init__(
        self,
        read: Callable[[], Site],
        state: Path,
        only: Sequence[str],
        output: Output,
        local: Local,
        *,
        more: Sequence[str] = (),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._read, self._state, self._only, self._output = read, state, tuple(only), output
        self._local, self._more, self._clock = local, tuple(more), clock
        self._first = site = read()
        self._site, self._plan = site.file.site.name, self._planned(site)
        self._folder, self._file = site.folder, site.path
        self._reloads = Reloads(self._reload)
        self._changing = threading.Lock()  # for the moment of the change
        self._wakeups, self._terminal = Wakeups(SIGNALS), Terminal()
        self._stopped_by = 0  # the signal
        self._requests = Requests()  # to stop
        self._supervisor: Supervisor | None = None
        self._mark: Mark | None = None

    def run(self) -> int:
        """Run the site until a signal; the exit code. Raises `MeshError` when it cannot start."""
        operations = {RELOAD: self._asked_to_reload, STATUS: self._asked_for_status}
        control = ControlServer(operations, clock=self._clock)
        try:
            with Mark(self._state, self._file, self._only, self._plan.parts, control.endpoints[0]) as mark:
                self._mark = mark
                check_here(self._plan)
                asked = everything(self._first, self._plan.parts)
                for told in (*self._first.doubts, *check_processes(self._first, asked, self._local)):
                    log.warning("%s", told)
                return self._run(control)
        finally:
            control.close()

    def _reload(self) -> dict[str, Any]:
        """Read the file again, and say what changes, or that it is stopping. What is wrong is refused by the
        `MeshError` that names line and key: then all goes on as it was."""
        try:
            found = self._read_again()
        except Stopping:
            return {"stopping": True}
        log.info("the file is read again: %s", found)
        return {"changes": str(found)}

    def _read_again(self) -> Difference:
        """Have what differs done; where it is wrong, nothing is."""
        self._refuse_when_stopping()
        site = self._read()
        if site.file.site.name != self._site:
            raise ConfigError("the site's name cannot change while it runs: stop it, and start it anew")
        after = self._planned(site)
        check_here(after, (*self._plan.parts.values(), *self._running()))
        found = difference(self._plan, after)
        check_local(site, changed(site, self._plan, after, found), self._local)
        with self._changing:
            self._refuse_when_stopping()
            found = difference(self._plan, after, self._idle())
            self._plan = after
            if self._mark is not None:
                self._mark.tell(after.parts)
        for told in site.doubts:
            log.warning("%s", told)
        self._wakeups.poke()
        return found

    def _refuse_when_stopping(self) -> None:
        if self._stopped_by:
            raise Stopping("it is stopping: start it again once it has ended")

    def _processes(self) -> Sequence[ProcessState]:
        return self._supervisor.processes() if self._supervisor is not None else ()

    def _running(self) -> Sequence[Part]:
        """With what an earlier change has end, and has not ended yet."""
        return self._supervisor.running() if self._supervisor is not None else ()

    def _idle(self) -> list[str]:
        return [process.name for process in self._processes() if not process.runs]

    def _planned(self, site: Site) -> Plan:
        return plan(site, self._state, self._only, self._more)

    def _run(self, control: ControlServer) -> int:
        with self._wakeups, Scope("output") as writing, Scope("site") as scope:
            self._output.name(["up"])
            self._output.run_in(writing)
            control.run_in(scope)
            self._reloads.run_in(scope)
            for each in (writing, scope):
                each.on_stop(self._wakeups.poke)
            keeper = Keeper(scope, self._site, self._clock)
            keeper.start()
            supervisor = Supervisor(self._folder, self._output.say, writing, self._clock)
            self._supervisor = supervisor
            try:
                self._steer(supervisor, keeper, (scope, writing))
                return 130 if self._stopped_by == signal.SIGINT else 0
            finally:
                supervisor.kill()
                while not supervisor.is_over:
                    self._wakeups.wait(supervisor.step())

    def _steer(self, supervisor: Supervisor, keeper: Keeper, scopes: Sequence[Scope]) -> None:
        """Until every process has ended: because a signal asked for it, or a thread of `scopes` failed."""
        now = None
        while not supervisor.is_over:
            if not self._stopped_by and self._plan is not now:
                now = self._plan
                self._output.name(now.parts)
                supervisor.want(now.parts)
                keeper.keep(now)
            for number in self._wakeups.wait(supervisor.step()):
                self._signalled(number, supervisor)
            if any(scope.stopping.is_set() for scope in scopes) and not self._stopped_by:
                self._stop(signal.SIGTERM, supervisor)

    def _signalled(self, number: int, supervisor: Supervisor) -> None:
        is_hang_up = number == signal.SIGHUP and self._terminal.is_closed
        if number == signal.SIGHUP and not is_hang_up:
            self._reload_by_signal()
        elif is_hang_up and self._stopped_by:
            return  # it may come more than once, and asks for no hurry
        elif is_hang_up or number in (signal.SIGTERM, signal.SIGINT):
            self._stop(number, supervisor)

    def _stop(self, number: int, supervisor: Supervisor) -> None:
        """End in order; when asked once more, at once."""
        if not self._stopped_by:
            with self._changing:  # what was changed until then is what stops
                self._stopped_by = number
            self._requests.came(self._clock.monotonic())  # which may have taken a while
            self._local.stop()
            log.info("stopping: capture first, the registry last; once more ends all at once")
            supervisor.end()
        elif self._requests.came(self._clock.monotonic()):
            log.warning("ending at once")
            supervisor.kill()

    def _asked_to_reload(self, arguments: Mapping[str, Any]) -> Later:
        return self._reloads.ask()

    def _reload_by_signal(self) -> None:
        later = self._reloads.ask()
        later.then(lambda: _say_refused(later))

    def _asked_for_status(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """How each process is."""
        return {"processes": [asdict(process) for process in self._processes()]}


def _say_refused(later: Later) -> None:
    """Why the file that a signal had read again changes nothing: nobody else is told."""
    try:
        later.result()
    except ControlRefused as error:
        log.error("all goes on as it was: %s", error)
