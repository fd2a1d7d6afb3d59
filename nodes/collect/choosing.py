"""What is recorded of each camera, as it was said where the collector was started, or with the camera.

Rules kept here: what the collector's own command line says of a camera goes first, then the camera's setup
in the registry, then what the collector has for all; a setup that changes holds from the next frame on; while
the registry is away, and where a setup is malformed, what was known last holds.
"""

import logging
import threading
from collections.abc import Mapping

from mesh.choice import Choice, Choices, choice_of
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ConfigError, MeshError, RegistryError
from mesh.follow import follow
from mesh.registry import Entry, Registry
from mesh.registry.setups import PREFIX, CameraSetup
from mesh.scope import Scope

log = logging.getLogger(__name__)


class Choosing:
    """Every camera's choice. `of` may be called from any thread."""

    def __init__(self, choices: Choices, clock: Clock = SYSTEM_CLOCK) -> None:
        self._choices, self._clock = choices, clock
        self._lock = threading.Lock()
        self._setups: dict[str, Choice] = {}
        self._made: dict[str, Choice] = {}
        self._complaints: dict[str, int] = {}  # malformed entries that were told of, by revision

    def __repr__(self) -> str:
        return f"<Choosing {self._choices} {self._setups}>"

    def of(self, camera: str) -> Choice:
        """What holds for a camera now."""
        if (choice := self._made.get(camera)) is None:
            with self._lock:
                choice = self._made[camera] = self._choices.of(camera, self._setups.get(camera))
        return choice

    def follow(self, scope: Scope, registry: Registry) -> None:
        """Read the cameras' setups, and follow them as long as `scope` runs."""
        try:
            self.see({entry.key: entry for entry in registry.list(PREFIX)})
        except MeshError as error:
            log.warning("what is recorded of each camera is not known yet: %s", error)
        follow(scope, registry, PREFIX, self.see, gone_s=0.0, clock=self._clock)

    def see(self, entries: Mapping[str, Entry]) -> None:
        """These are the configured cameras."""
        found: dict[str, Choice] = {}
        for key, entry in entries.items():
            name = key.removeprefix(PREFIX)
            choice = self._read(entry)
            if self._is_malformed(entry):
                choice = self._setups.get(name)
            if choice is not None:
                found[name] = choice
        with self._lock:
            self._setups, self._made = found, {}

    def _is_malformed(self, entry: Entry) -> bool:
        return self._complaints.get(entry.key) == entry.revision

    def _read(self, entry: Entry) -> Choice | None:
        """What a setup says; None where it says nothing, or is malformed."""
        try:
            setup = CameraSetup.of(entry)
            return choice_of(setup.record) if setup.record else None
        except (ConfigError, RegistryError) as error:
            if not self._is_malformed(entry):
                self._complaints[entry.key] = entry.revision
                name = entry.key.removeprefix(PREFIX)
                log.error("what is recorded of camera %s stays as it was: %s", name, error)
            return None
