from collections.abc import Mapping
from typing import Any

from mesh.follow import Picture, follow, follow_streams, publishers
from mesh.frame import Frame
from mesh.registry import Delete, Entry, Put, Synced, open_registry
from mesh.registry.records import StreamRecord
from mesh.scope import Scope
from mesh.transport import Publisher, Subscriber
from mesh.wire import Message, View
from tests.support.frames import jpeg_frame
from tests.support.waiting import wait_for


def entry(key: str, revision: int = 1, **value: Any) -> Entry:
    return Entry(key, value, revision)


def stream(node: str, camera: str = "door", *, relay: bool = False, stage: str = "raw") -> StreamRecord:
    return StreamRecord(stage=stage, camera=camera, node=node, endpoint=f"tcp://{node}", relay=relay)


def listed(*records: StreamRecord) -> list[Entry]:
    return [Entry(record.key, record.value(), 1) for record in records]


def test_a_picture_is_told_once_it_is_whole_and_then_with_each_change() -> None:
    picture = Picture(gone_s=10)
    assert not picture.apply(Put(entry("nodes/a")), 0)
    assert picture.apply(Synced(1), 0)
    assert not picture.apply(Synced(2), 0), "the same once more is nothing new"
    assert not picture.apply(Put(entry("nodes/a")), 0)
    assert picture.apply(Put(entry("nodes/a", 2, state="x")), 0)
    assert picture.apply(Put(entry("nodes/b")), 0)
    assert sorted(picture.entries) == ["nodes/a", "nodes/b"]


def test_what_is_deleted_stays_for_a_while_and_is_kept_if_it_returns() -> None:
    picture = Picture(gone_s=10)
    for event in (Put(entry("nodes/a")), Put(entry("nodes/b")), Synced(1)):
        picture.apply(event, 0)
    assert not picture.apply(Delete("nodes/a", 2), 5)
    assert not picture.apply(Delete("nodes/b", 3), 5)
    assert not picture.apply(Delete("nodes/b", 4), 14), "the first deletion counts"
    assert not picture.fade(14.9)
    picture.apply(Put(entry("nodes/a", 5)), 14.9)
    assert picture.fade(15)
    assert sorted(picture.entries) == ["nodes/a"]


def test_what_was_forgotten_goes_at_once_where_asked() -> None:
    picture = Picture(gone_s=10, forgotten_s=0)
    for event in (Put(entry("groups/g/a")), Synced(1), Delete("groups/g/a", 2, known=False)):
        picture.apply(event, 5)
    assert picture.fade(5)
    assert not picture.entries


def test_what_was_only_forgotten_is_kept_longer_than_what_is_known_to_be_gone() -> None:
    picture = Picture(gone_s=0)
    for key in ("nodes/a", "nodes/b", "nodes/c"):
        picture.apply(Put(entry(key)), 0)
    picture.apply(Synced(1), 0)
    assert picture.patience(0) is None
    for event in (Delete("nodes/a", 9, known=False), Delete("nodes/b", 9, known=False)):
        assert not picture.apply(event, 0)
    assert picture.patience(9.5) == 0.5
    picture.apply(Delete("nodes/c", 10), 5)
    assert picture.patience(5) == 0
    assert picture.fade(5)
    assert sorted(picture.entries) == ["nodes/a", "nodes/b"]
    picture.apply(Put(entry("nodes/b", 11)), 9)  # it has announced itself again
    assert picture.fade(10)
    assert sorted(picture.entries) == ["nodes/b"]
    assert picture.patience(10) is None


def test_origins_are_taken_and_relays_only_where_there_is_no_origin() -> None:
    relays = stream("col", relay=True), stream("col", "gate", relay=True)
    entries = listed(stream("cap"), *relays)
    assert {(r.node, r.camera) for r in publishers(entries, None)} == {("cap", "door")}
    assert {r.node for r in publishers(entries, "gate")} == {"col"}
    assert {r.node for r in publishers(entries, "door")} == {"cap"}
    assert publishers(entries, "yard") == []
    assert {r.camera for r in publishers(listed(*relays), None)} == {"door", "gate"}


def test_ones_own_streams_are_left_out_and_malformed_entries_passed_over() -> None:
    entries = [*listed(stream("a"), stream("b")), entry("streams/raw/door/c", nonsense=True)]
    assert {r.node for r in publishers(entries, None, but_not="a")} == {"b"}


def test_following_tells_what_there_is_and_what_comes() -> None:
    with open_registry("memory:follow") as registry, Scope("test") as scope:
        registry.put("nodes/a", {})
        told: list[list[str]] = []

        def on_change(entries: Mapping[str, Entry]) -> None:
            told.append(sorted(entries))

        follow(scope, registry, "nodes/", on_change, gone_s=0)
        wait_for(lambda: told == [["nodes/a"]])
        registry.put("nodes/b", {})
        wait_for(lambda: told[-1:] == [["nodes/a", "nodes/b"]])
        registry.delete("nodes/a")
        wait_for(lambda: told[-1:] == [["nodes/b"]])


def test_a_subscriber_is_connected_to_cameras_that_appear_later() -> None:
    with open_registry("memory:streams") as registry, Scope("test") as scope:
        seen: list[Message] = []
        cameras: list[str] = []
        subscriber = Subscriber(scope, seen.extend)
        follow_streams(scope, registry, subscriber, "raw", on_stream=lambda r: cameras.append(r.camera))
        nodes = [Publisher(f"node-{n}") for n in range(2)]
        for node, camera in zip(nodes, ("door", "gate"), strict=True):
            record = StreamRecord(stage="raw", camera=camera, node=node.node, endpoint=node.endpoint)
            registry.put(record.key, record.value())
            wait_for(lambda: node.listens(View.FRAME, "raw", camera))  # noqa: B023 - called in this round
            node.publish(jpeg_frame(camera=camera))
        wait_for(lambda: len(seen) == 2)
        assert [m.body.camera for m in seen if isinstance(m.body, Frame)] == ["door", "gate"]
        assert cameras == ["door", "gate"]
        for node in nodes:
            node.close(flush=False)
