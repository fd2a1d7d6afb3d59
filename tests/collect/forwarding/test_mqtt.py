"""Frames carried to a real broker: what arrives, when a frame is done, and what is told where one is not."""

import contextlib
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.errors import ConfigError
from mesh.scope import Scope
from nodes.collect.forwarding.address import parse
from nodes.collect.forwarding.mqtt import STRIKES, MqttCarrier
from nodes.collect.forwarding.outbox import MOST_FRAMES
from tests.collect.forwarding.support import TOLD, Noted, offer, seen
from tests.support.answering import Answering, drained, relayed
from tests.support.certificates import self_signed
from tests.support.clock import ManualClock
from tests.support.frames import jpeg_frame
from tests.support.mosquitto import Heard, Listener, Mosquitto, let_in, require_mosquitto
from tests.support.waiting import wait_for

CONNACK = b"\x20\x03\x00\x00\x00"  # of MQTT 5: welcome, no properties


@pytest.fixture(autouse=True)
def _needs_mosquitto() -> None:
    require_mosquitto()


@contextlib.contextmanager
def carrying(url: str, clock: ManualClock | None = None) -> Iterator[tuple[MqttCarrier, Noted]]:
    """With a clock that stands, unless another one is given: no patience ends because a thread is held up."""
    done = Noted()
    with Scope("carrying") as scope:
        yield MqttCarrier(scope, parse(url), done, clock or ManualClock(0.0)), done


def sequences(heard: list[Heard]) -> list[int]:
    return [json.loads(each.payload)["seq"] for each in heard]


def test_a_frame_is_told_as_its_line_is_and_its_picture_comes_before_untouched(tmp_path: Path) -> None:
    frame = seen(3)
    with Mosquitto(tmp_path) as broker, Listener(broker.port, "site/#") as listener:
        with carrying(broker.url("/site?jpeg=1")) as (carrier, done):
            offer(carrier, [frame])
            wait_for(lambda: done.has([3]) and len(listener.heard("motion")) == 1)
            assert carrier.why == ""
        picture, words = (each for each in listener.heard() if not each.topic.endswith("status"))
        wait_for(lambda: len(listener.heard("status")) == 2, "its end is told")
        with Listener(broker.port, "site/status", "late") as late:
            wait_for(late.heard)
    assert [each.payload for each in listener.heard("status")] == [b"online", b"offline"]
    assert [(each.payload, each.retained) for each in late.heard()] == [(b"offline", True)]
    assert (picture.topic, words.topic) == ("site/door/motion/jpeg", "site/door/motion")
    assert picture.payload == bytes(frame.payload)
    about = {"camera": "door", "boot": "7", "seq": "3", "part": "0", "captured_ns": str(frame.captured_ns)}
    assert picture.about == about | {"content_type": "image/jpeg"}
    assert words.about == about | {"content_type": "application/json"}
    assert not words.retained
    assert json.loads(words.payload) == TOLD


def test_nothing_is_done_before_the_broker_says_so_and_all_arrives_when_it_was_killed(tmp_path: Path) -> None:
    clock = ManualClock()
    with Mosquitto(tmp_path) as broker, Listener(broker.port, "site/+/+") as listener:
        broker.save()
        with carrying(broker.url(), clock) as (carrier, done):
            offer(carrier, [seen(seq) for seq in range(5)])
            wait_for(lambda: done.has(range(5)) and len(listener.heard()) == 5)
            broker.hang()
            offer(carrier, [seen(seq) for seq in range(5, 10)])
            broker.kill()
            wait_for(lambda: "connection was closed" in carrier.why)
            assert done.has(range(5))
            clock.advance_until(lambda: "nothing listens there" in carrier.why)
            broker.start()
            clock.advance_until(lambda: done.has(range(10)))
            wait_for(lambda: carrier.why == "")
        wait_for(lambda: set(sequences(listener.heard())) == set(range(10)))


def test_a_broker_that_hangs_is_left_and_told(tmp_path: Path) -> None:
    clock = ManualClock()
    with Mosquitto(tmp_path) as broker, carrying(broker.url(), clock) as (carrier, done):
        offer(carrier, [seen(0)])
        wait_for(lambda: done.has([0]))
        broker.hang()
        offer(carrier, [seen(1)])
        clock.advance_until(lambda: "acknowledged nothing" in carrier.why, step=5)
        clock.advance_until(lambda: "no MQTT broker, or one that hangs" in carrier.why, step=5)
        broker.go_on()
        clock.advance_until(lambda: done.has([0, 1]))
        assert carrier.stats()["resent"] >= 1


def test_a_wrong_password_is_told_and_tried_again_until_it_is_right(tmp_path: Path) -> None:
    clock, passwords = ManualClock(), tmp_path / "passwords"
    let_in(passwords, "edge", "right")
    options = (f"password_file {passwords}",)
    with Mosquitto(tmp_path, *options, anonymous=False) as broker:
        with carrying(broker.url(user="edge:wrong@"), clock) as (carrier, done):
            offer(carrier, [seen(0)])
            wait_for(lambda: carrier.why)
            assert carrier.why == (
                f"mqtt://127.0.0.1:{broker.port}: the broker does not let in the user 'edge': not authorized"
            )
            let_in(passwords, "edge", "wrong")
            broker.reload()
            clock.advance_until(lambda: done.has([0]))
            wait_for(lambda: carrier.why == "")
        with carrying(broker.url(), clock) as (carrier, done):
            wait_for(lambda: "does not let in who gives no user" in carrier.why)


def test_what_may_not_be_published_yet_waits_until_it_may(tmp_path: Path) -> None:
    clock, rights = ManualClock(), tmp_path / "rights"
    rights.write_text("topic write other/#\n")
    with (
        Mosquitto(tmp_path, f"acl_file {rights}") as broker,
        carrying(broker.url(), clock) as (carrier, done),
    ):
        offer(carrier, [seen(0), seen(1)])
        wait_for(lambda: "takes no message of ours: not authorized" in carrier.why)
        assert done.has([])
        rights.write_text("topic write site/#\n")
        broker.reload()
        clock.advance_until(lambda: done.has([0, 1]))
        assert carrier.stats()["forward_refused"] == 0


@pytest.mark.parametrize("limit", ["max_packet_size", "message_size_limit"])
def test_what_the_broker_finds_too_large_is_refused_and_does_not_keep_the_rest(
    tmp_path: Path, limit: str
) -> None:
    """One of them it tells when it lets one in, the other with its acknowledgement."""
    large = seen(1).annotate(text="x" * 9000)
    with Mosquitto(tmp_path, f"{limit} 8000") as broker, Listener(broker.port, "site/+/+") as listener:
        with carrying(broker.url("/site?jpeg=1")) as (carrier, done):
            offer(carrier, [seen(0), large, seen(2), seen(3, size=640), seen(4)])
            wait_for(lambda: done.has(range(5)))
            stats = carrier.stats()
        wait_for(lambda: sequences(listener.heard()) == [0, 2, 3, 4])
    assert (stats["forward_refused"], stats["pictureless"]) == (1, 1)


def test_a_frame_on_which_a_broker_breaks_off_again_and_again_is_refused(tmp_path: Path) -> None:
    """Broken off by what stands between: it lets no frame of that many bytes through."""
    clock = ManualClock()
    with Mosquitto(tmp_path) as broker, Listener(broker.port, "site/+/+") as listener:

        def relay(connection: socket.socket) -> None:
            relayed(connection, broker.port, lambda piece: b"x" * 900 not in piece)

        frames = [seen(0), seen(1).annotate(text="x" * 9000), seen(2)]
        with (
            Answering(relay) as between,
            carrying(f"mqtt://127.0.0.1:{between.port}/site", clock) as (
                carrier,
                done,
            ),
        ):
            offer(carrier, frames)
            clock.advance_until(lambda: done.has(range(3)))
            assert carrier.stats()["forward_refused"] == 1
            assert between.connections >= STRIKES
        wait_for(lambda: set(sequences(listener.heard())) == {0, 2})


def test_a_broker_of_mqtt_3_is_spoken_to_as_such(tmp_path: Path) -> None:
    """What stands before it refuses the newer version, as such a broker does."""
    with Mosquitto(tmp_path) as broker, Listener(broker.port, "site/#") as listener:

        def old(connection: socket.socket) -> None:
            connect = connection.recv(1 << 16, socket.MSG_PEEK)
            if connect[connect.index(b"MQTT") + 4] > 4:
                connection.recv(1 << 16)
                connection.sendall(b"\x20\x02\x00\x01")  # unacceptable protocol version
                return
            relayed(connection, broker.port)

        clock = ManualClock()
        with (
            Answering(old) as before,
            carrying(f"mqtt://127.0.0.1:{before.port}/site", clock) as (carrier, done),
        ):
            offer(carrier, [seen(seq) for seq in range(3)])
            clock.advance_until(lambda: done.has(range(3)))
        wait_for(lambda: sequences(listener.heard("motion")) == [0, 1, 2])
        wait_for(lambda: [each.payload for each in listener.heard("status")] == [b"online", b"offline"])


def test_a_certificate_is_verified(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with Mosquitto(tmp_path, f"certfile {certificate}", f"keyfile {key}") as broker:
        with carrying(broker.url(scheme="mqtts")) as (carrier, done):
            offer(carrier, [seen(0)])
            wait_for(lambda: "its certificate is not trusted: self-signed certificate" in carrier.why)
            assert done.has([])
        with carrying(broker.url(f"/site?jpeg=1&ca={certificate}", scheme="mqtts")) as (carrier, done):
            offer(carrier, [seen(seq, size=640) for seq in range(20)])
            wait_for(lambda: done.has(range(20)))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "connection was closed"),  # an acknowledgement, as it looks
        (b"SSH-2.0-OpenSSH_9.2p1\r\n" * 10, "breaks the MQTT protocol"),
        (b"\x20\x02\x00\x05", "breaks the MQTT protocol"),  # a refusal that MQTT 5 has no word for
        (CONNACK + b"\x40\x02\xff", "connection was closed"),
        (CONNACK + b"\xf0\xff\xff\xff\xff\xff", "breaks the MQTT protocol"),
        (CONNACK + b"\x30\xff\xff\xff\x7f" + bytes(4 << 20), "sends what it was not asked for"),
        (b"\x20\x05\x00\x00\x02\x24\x00", "acknowledges nothing (its highest QoS is 0)"),
        (b"", "connection was closed"),
    ],
)
def test_what_answers_badly_is_left_and_told(said: bytes, why: str) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        drained(connection)

    with Answering(answer) as server, carrying(f"mqtt://127.0.0.1:{server.port}") as (carrier, done):
        offer(carrier, [seen(0)])
        wait_for(lambda: why in carrier.why, why)
        assert done.has([])


def test_no_more_is_on_its_way_than_the_broker_lets() -> None:
    got = bytearray()

    def answer(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"\x20\x06\x00\x00\x03\x21\x00\x05")  # welcome: five messages at a time
        while data := connection.recv(1 << 16):
            got.extend(data)

    with Answering(answer) as server:
        with carrying(f"mqtt://127.0.0.1:{server.port}/site") as (carrier, done):
            offer(carrier, [seen(seq) for seq in range(20)])
            wait_for(lambda: got.count(b"site/door/motion") >= 4)
        assert done.has([])
    assert (got.count(b"site/status"), got.count(b"site/door/motion")) == (1, 4)


def test_it_ends_at_once_while_the_other_end_hangs() -> None:
    """One takes the connection and says nothing, the other does not even take it. Nothing is waited for: the
    clock stands."""
    clock = ManualClock()
    with Answering(drained) as silent, carrying(f"mqtts://127.0.0.1:{silent.port}", clock):
        wait_for(lambda: silent.connections)
    with Answering(drained) as silent, carrying(f"mqtt://127.0.0.1:{silent.port}", clock) as (carrier, _):
        wait_for(lambda: silent.connections)
        offer(carrier, [seen(0)])
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), carrying(f"mqtt://127.0.0.1:{port}", clock):
            pass


def test_it_takes_so_much_and_no_more_and_what_is_not_wanted_is_done_at_once() -> None:
    with Answering(drained) as silent:
        with carrying(f"mqtt://127.0.0.1:{silent.port}/?only=detections") as (carrier, done):
            taken = [carrier.offer(seq, seen(seq)) for seq in range(MOST_FRAMES + 1)]
            assert taken == [True] * MOST_FRAMES + [False]
        with carrying(f"mqtt://127.0.0.1:{silent.port}/?only=detections") as (carrier, done):
            assert all(carrier.offer(seq, jpeg_frame(seq)) for seq in range(2 * MOST_FRAMES))
            assert done.has(range(2 * MOST_FRAMES))
            assert carrier.stats()["forward_filtered"] == 2 * MOST_FRAMES
        with carrying(f"mqtt://127.0.0.1:{silent.port}/?jpeg=1") as (carrier, done):
            large = seen(0, size=2000).encoded(quality=100)
            taken = [carrier.offer(seq, large) for seq in range(MOST_FRAMES)]
            assert 1 <= sum(taken) < MOST_FRAMES, "bounded in bytes, too"


def test_annotations_that_no_json_can_say_are_refused_and_counted() -> None:
    with Answering(drained) as silent, carrying(f"mqtt://127.0.0.1:{silent.port}") as (carrier, done):
        assert carrier.offer(0, seen(0).annotate(odd=object()))
        assert done.has([0])
        assert carrier.stats()["forward_refused"] == 1


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("mqtt://h/a/+/b", "is no topic to publish to"),
        ("mqtt://h/%24SYS", "is no topic to publish to"),
        ("mqtt://h/t?qos=2", "qos=2 is wrong: give 0 or 1"),
        ("mqtt://h/t?jpeg=yes", "jpeg=yes is wrong"),
        ("mqtt://h/t?jpge=1", "no option 'jpge'; the options here are jpeg, only, qos"),
        ("mqtt://h/t?ca=/x", "ca= goes with TLS: write mqtts://"),
        ("mqtts://h/t?ca=/not/there", "ca=/not/there: no such file"),
        ("mqtts://h/t?ca=%00", "is no name of a file"),
        ("mqtts://h/t?cert=/dev/null", "cert=/dev/null: write a PEM file of a certificate and its key"),
        ("mqtt://:pw@h/t", "a password goes with a user"),
    ],
)
def test_a_mistake_in_the_url_is_one_line(url: str, wrong: str) -> None:
    with Scope("wrong") as scope, pytest.raises(ConfigError) as error:
        MqttCarrier(scope, parse(url), Noted())
    assert wrong in str(error.value)
    assert "pw" not in str(error.value)


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    monkeypatch.delitem(sys.modules, "nodes.collect.forwarding.mqtt_session", raising=False)
    with Scope("without") as scope, pytest.raises(ConfigError, match=r"pip install 'framemesh\[mqtt\]'"):
        MqttCarrier(scope, parse("mqtt://127.0.0.1"), Noted())
