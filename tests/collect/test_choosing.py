"""Whose word holds of what is recorded of a camera: its setup's, the collector's of it, or that of all."""

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import setups
from mesh.choice import Mode, choices_of
from mesh.registry import Registry, open_registry
from mesh.registry.server import RegistryServer
from mesh.scope import Scope
from nodes.collect.choosing import Choosing
from nodes.collect.node import Collect, CollectConfig
from nodes.node import Node, NodeConfig
from tests.capture.test_decision import camera
from tests.support.waiting import PATIENCE_S, wait_for


@pytest.fixture
def registry() -> Iterator[Registry]:
    with open_registry(f"memory:{secrets.token_hex(4)}") as made:
        yield made


def change(registry: Registry, name: str, record: str | None) -> None:
    setup, revision = setups.find(registry, name)
    setups.change(registry, setups.changed(setup, {"record": record}), revision)


def test_a_setup_is_known_from_the_start_and_followed(registry: Registry) -> None:
    setups.add(registry, camera("door", record="off"))
    setups.add(registry, camera("gate", record="off"))
    setups.add(registry, camera("yard"))
    choosing = Choosing(choices_of(["motion", "gate=events,pre=1"]))
    with Scope("choosing") as scope:
        choosing.follow(scope, registry)
        found = [choosing.of(name).mode for name in ("door", "gate", "yard", "unknown")]
        assert found == [Mode.OFF, Mode.EVENTS, Mode.MOTION, Mode.MOTION]
        change(registry, "door", "continuous")
        change(registry, "gate", "continuous")
        change(registry, "yard", "events,pre=9")
        wait_for(lambda: choosing.of("yard").pre_s == 9)
        assert [choosing.of(name).mode for name in ("door", "gate")] == [Mode.CONTINUOUS, Mode.EVENTS]
        setups.remove(registry, "door", setups.find(registry, "door")[1])
        change(registry, "yard", None)
        wait_for(lambda: [choosing.of(name).mode for name in ("door", "yard")] == [Mode.MOTION] * 2)
        assert choosing.of("yard").pre_s == 5


def test_a_setup_that_is_malformed_leaves_what_was_known(registry: Registry) -> None:
    setups.add(registry, camera("door", record="off"))
    choosing = Choosing(choices_of([]))
    with Scope("choosing") as scope:
        choosing.follow(scope, registry)
        registry.put("config/cameras/door", {"url": "synthetic:", "record": "sometimes"})
        setups.add(registry, camera("gate", record="off"))
        wait_for(lambda: choosing.of("gate").mode is Mode.OFF)
        assert choosing.of("door").mode is Mode.OFF


@pytest.mark.parametrize(("record", "warned"), [("motion", True), ("continuous", False)])
def test_a_stage_in_which_nothing_can_be_found_is_told(
    registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture, record: str, warned: bool
) -> None:
    config = CollectConfig(tmp_path, ("raw",), choices=choices_of([record]))
    node = Node(Collect(config), NodeConfig(registry.url, "rec", drain_s=0.0))
    thread = threading.Thread(target=node.run, kwargs={"signals": False})
    thread.start()
    try:
        wait_for(lambda: registry.get("nodes/rec"))
    finally:
        node.finish()
        thread.join()
    assert ("nothing is found in the frames of raw" in caplog.text) is warned


def test_what_was_known_last_holds_while_the_registry_is_away() -> None:
    choosing = Choosing(choices_of([]))
    with (
        RegistryServer(bind="tcp://127.0.0.1:*") as server,
        open_registry(server.url, timeout=PATIENCE_S) as registry,
        open_registry(server.url, timeout=1.0) as away,
        Scope("choosing") as scope,
    ):
        setups.add(registry, camera("door", record="off"))
        choosing.follow(scope, registry)
        server.close()
        assert choosing.of("door").mode is Mode.OFF
        late = Choosing(choices_of(["motion"]))
        late.follow(scope, away)
        assert late.of("door").mode is Mode.MOTION
