"""Keeps the cameras of a site's file in the registry, and says when the site runs.

Rules kept here: what stands there already as the file has it is not written; cameras that others configured
are left alone; a registry that is away is waited for.
"""

import logging
import threading
from collections.abc import Iterable, Iterator

from mesh import setups
from mesh.backoff import Backoff
from mesh.client import DEFAULT_REGISTRY
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import MeshError, RegistryUnavailable
from mesh.registry import Registry, open_registry
from mesh.registry.records import NodeState
from mesh.registry.setups import PREFIX, CameraSetup
from mesh.scope import Scope
from mesh.site.parts import REGISTRY, Plan

log = logging.getLogger(__name__)

NODES = "nodes/"
REQUEST_S = 3.0
LOOK_EVERY_S = 0.25
MOST_S = 5.0  # between two tries
LOOK_AGAIN_S = 10.0  # whether the registry is the one that was told
SAME_NS = 2_000_000_000  # by which two looks at one start may differ


class Keeper:
    """On a thread of `scope`. `keep` gives it a plan, and again each new one."""

    def __init__(self, scope: Scope, site: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._scope, self._site, self._clock = scope, site, clock
        self._changed = threading.Event()
        self._plan: Plan | None = None
        scope.on_stop(self._changed.set)

    def start(self) -> None:
        self._scope.spawn("cameras", self._run)

    def keep(self, plan: Plan) -> None:
        """Any thread may."""
        self._plan = plan
        self._changed.set()

    def _run(self) -> None:
        while not self._scope.stopping.is_set():
            self._changed.wait()
            self._changed.clear()
            if self._plan is not None and not self._scope.stopping.is_set():
                self._settle(self._plan)

    def _settle(self, plan: Plan) -> None:
        """Have the cameras as they are in the plan, and see that its nodes are there; until it changes. A
        registry that has started anew is told them again."""
        backoff = Backoff(LOOK_EVERY_S, MOST_S)
        while not self._changed.is_set():
            try:
                with open_registry(plan.registry, timeout=REQUEST_S) as registry:
                    started_ns = _started_ns(registry)
                    self._keep_cameras(registry, plan)
                    self._await_nodes(registry, plan)
                    while not self._changed.is_set() and _started_ns(registry) <= started_ns + SAME_NS:
                        self._clock.wait(self._changed, LOOK_AGAIN_S)
            except RegistryUnavailable:
                self._clock.wait(self._changed, backoff.next())
            except MeshError as error:  # somebody wrote at the same time, or it refuses
                log.warning("the cameras could not be configured: %s; trying again", error)
                self._clock.wait(self._changed, backoff.next())

    def _keep_cameras(self, registry: Registry, plan: Plan) -> None:
        if plan.cameras is not None and (told := configure(registry, self._site, plan.cameras)):
            log.info("cameras: %s", "; ".join(told))

    def _await_nodes(self, registry: Registry, plan: Plan) -> None:
        """Until all are there; while some are not, ever more rarely."""
        wanted = {part.name for part in plan.parts.values()} - {REGISTRY}
        backoff = Backoff(LOOK_EVERY_S, MOST_S)
        while not self._changed.is_set():
            if wanted <= set(_living(registry)):
                log.info("all is started: %s; look at it with %s", _counted(plan, len(wanted)), _look(plan))
                return
            self._clock.wait(self._changed, backoff.next())


def _started_ns(registry: Registry) -> int:
    """When a registry that forgets did so last, by its own clock; 0 for one that does not say or forget.
    Raises `RegistryUnavailable`."""
    try:
        start = registry.start()
        return 0 if start is None else registry.now_ns() - round(start.age_s * 1e9)
    except RegistryUnavailable:
        raise
    except MeshError:  # one that is too old to say
        return 0


def _counted(plan: Plan, nodes: int) -> str:
    told = [f"{nodes} node{'' if nodes == 1 else 's'}"]
    if plan.cameras is not None:
        told.append(f"{len(plan.cameras)} camera{'' if len(plan.cameras) == 1 else 's'} configured")
    return ", ".join(told)


def _look(plan: Plan) -> str:
    return "`mesh top`" if plan.registry == DEFAULT_REGISTRY else f"`mesh top --registry {plan.registry}`"


def _living(registry: Registry) -> Iterator[str]:
    for entry in registry.list(NODES):
        if entry.value.get("state") != NodeState.ENDED:
            yield entry.key.removeprefix(NODES)


def configure(registry: Registry, site: str, cameras: Iterable[CameraSetup]) -> list[str]:
    """Have the cameras of a site configured just so; what that changed, a line each. Raises `RegistryError`
    and `RegistryUnavailable`; what was written until then stays."""
    wanted = {setup.name: setup for setup in cameras}
    stand = {entry.key.removeprefix(PREFIX): entry for entry in registry.list(PREFIX)}
    told = []
    for name, setup in wanted.items():
        holder = setups.read(stand[name]) if name in stand else None
        if holder is not None and holder.site not in ("", site):
            log.error("camera %s is configured by the site %r: give this one another name", name, holder.site)
        elif (change := setups.put(registry, setup)) != "same":
            told.append(f"{name} {change}")
    for name in sorted(stand.keys() - wanted.keys()):
        holder = setups.read(stand[name])
        if holder is not None and holder.site == site:
            setups.remove(registry, name, stand[name].revision)
            told.append(f"{name} removed")
    return told
