"""The view `shm` from end to end: who gets pixels, what happens where there can be none, and that gaps stay
exact whichever view a subscriber takes."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import mesh
from mesh import codec
from mesh.client import Subscription
from mesh.errors import DecodeError
from mesh.frame import Codec, EndOfStream, Frame
from mesh.inbox import StreamCount
from mesh.picture import Pixels
from mesh.shm import SUPPORTED
from mesh.transport import Publisher
from mesh.wire import View
from tests.support.frames import jpeg_frame, picture
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="rings need Linux's locks of open files")

END = EndOfStream("door", 7, 0)
SLOTS = 8


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    publisher = Publisher("pub-1")
    yield publisher
    publisher.close(flush=False)


@contextmanager
def joined(publisher: Publisher, view: View = View.SHM, policy: str = "fifo") -> Iterator[Subscription]:
    """A subscription that the publisher knows of."""
    with mesh.subscribe(publisher.endpoint, "raw", "door", view=view, policy=policy) as frames:
        wait_for(lambda: publisher.listens(view, "raw", "door"))
        yield frames


def raw_frame(seq: int) -> Frame:
    """A frame of one value everywhere: `seq`."""
    return jpeg_frame(seq).with_image(np.full((48, 64, 3), seq % 256, np.uint8))


def publish(publisher: Publisher, seq: int) -> None:
    frame = raw_frame(seq)
    assert publisher.publish(frame, picture=Pixels.of(frame))


def value(frame: Frame | None) -> int:
    """The one value that all pixels have."""
    assert frame is not None
    (found,) = set(np.unique(frame.image).tolist())
    return int(found)


def reach(publisher: Publisher, frames: Subscription, seqs: Iterator[int]) -> None:
    """Publish until a subscription has what was published last, and nothing else is on its way: a publisher
    hears of the first one of each topic only."""

    def tried() -> bool:
        publish(publisher, seq := next(seqs))
        return any(frame.seq == seq for frame in iter(lambda: frames.get(0.05), None))

    wait_for(tried)


def catch_up(frames: Subscription, last: int) -> None:
    """Take what waits, and what is still on its way, up to a frame."""
    assert any(frame.seq == last for frame in iter(lambda: frames.get(30), None))


def left_in(frames: Subscription) -> list[int]:
    """The values of all frames that wait."""
    return [value(frame) for frame in iter(lambda: frames.get(0.01), None)]


def account(frames: Subscription) -> StreamCount:
    (count,) = wait_for(frames.counts)
    assert count.offered == count.processed + sum(count.dropped.values()) + count.lost + count.in_flight
    return count


def test_pixels_come_as_they_are_and_nothing_is_encoded(publisher: Publisher) -> None:
    with joined(publisher) as frames:
        for seq in range(20):
            publish(publisher, seq)
            frame = frames.get(30)
            assert frame is not None
            assert (frame.codec, frame.seq, value(frame)) == (Codec.RAW, seq, seq)
            assert not frame.image.flags.writeable
            assert codec.jpeg_size(frame.jpeg) == (64, 48)
    stats = publisher.stats()
    assert (stats["shm_shared"], stats["shm_sent"]) == (20, 20)
    assert not stats.keys() & {"encoded", "frame_sent", "shm_busy", "shm_no_ring"}


def test_nothing_is_drawn_or_encoded_when_no_one_listens(publisher: Publisher) -> None:
    class Untouched(Pixels):
        @property
        def jpeg(self) -> bytes:
            raise AssertionError("it was encoded")

        def draw(self, into: codec.Image) -> None:
            raise AssertionError("it was drawn")

    frame = raw_frame(0)
    with joined(publisher, View.META):
        assert publisher.publish(frame, picture=Untouched(frame.image))
        assert publisher.publish(raw_frame(1), picture=Untouched(frame.image))
    assert publisher.stats() == {"frame_offered": 2, "meta_offered": 2, "meta_sent": 2}


def test_both_views_have_the_same_numbers(publisher: Publisher) -> None:
    with joined(publisher, View.FRAME) as encoded:
        publish(publisher, 0)
        with joined(publisher) as shared:
            for seq in (1, 2):
                publish(publisher, seq)
            publisher.end(END)
            got = [encoded.get(30) for _ in range(3)]
            assert [frame.codec for frame in got if frame] == [Codec.JPEG] * 3
            assert [value(shared.get(30)) for _ in range(2)] == [1, 2]
            for frames in (encoded, shared):
                wait_for(lambda frames=frames: frames.get(0.01) is None and account(frames).ended)  # type: ignore[misc]
            assert (account(encoded).processed, account(encoded).lost) == (3, 0)
            assert account(shared).dropped == {"before_join": 1}
            assert (account(shared).processed, account(shared).lost) == (2, 0)
    assert publisher.stats()["encoded"] == 3


def test_a_cameras_own_jpeg_passes_untouched_also_on_shm(publisher: Publisher) -> None:
    with joined(publisher) as frames:
        sent = jpeg_frame(0)
        publisher.publish(sent)
        frame = frames.get(30)
    assert frame is not None
    assert (frame.codec, frame.jpeg) == (Codec.JPEG, sent.payload)


def test_frames_that_wait_too_long_are_counted_and_the_rest_is_whole(publisher: Publisher) -> None:
    with joined(publisher) as frames:
        for seq in range(3 * SLOTS):
            publish(publisher, seq)
        publisher.end(END)
        wait_for(lambda: account(frames).ended)
        got = [frame for _ in range(SLOTS) if (frame := frames.get(30)) is not None]
        assert [frame.seq for frame in got] == list(range(2 * SLOTS, 3 * SLOTS))
        assert [value(frame) for frame in got] == [frame.seq for frame in got]
        assert frames.get(0.01) is None
        assert account(frames).dropped == {"overwritten": 2 * SLOTS}
        assert account(frames).processed == SLOTS


def test_a_slow_reader_keeps_what_it_holds_while_the_ring_goes_round(publisher: Publisher) -> None:
    with joined(publisher) as slow, joined(publisher) as fast:
        seqs = itertools.count()
        reach(publisher, fast, seqs)
        dropped = account(fast).dropped
        held = [slow.get(30), slow.get(0.01)]
        values = [value(frame) for frame in held if frame is not None]
        for _ in range(5 * SLOTS):
            publish(publisher, seq := next(seqs))
            assert fast.get(30) is not None
        assert [value(frame) for frame in held if frame is not None] == values
        wait_for(lambda: account(slow).offered == seq + 1)
        left = left_in(slow)
        assert 0 < len(left) < SLOTS
        assert left == list(range(seq + 1 - len(left), seq + 1))
        assert account(slow).dropped == {"overwritten": seq + 1 - len(values) - len(left)}
        assert account(fast).dropped == dropped
        assert (account(slow).lost, account(fast).lost) == (0, 0)


def test_while_every_slot_is_pinned_frames_come_encoded(publisher: Publisher) -> None:
    with joined(publisher) as one, joined(publisher) as two, joined(publisher) as three:
        readers, seqs = (one, two, three), itertools.count()
        for reader in readers:
            reach(publisher, reader, seqs)
        publish(publisher, last := next(seqs))
        for reader in readers:
            catch_up(reader, last)
        held = []
        for n in range(SLOTS):
            publish(publisher, next(seqs))
            taken = [reader.get(30) for reader in readers]
            held.append(taken[n % 3])
        values = [value(frame) for frame in held]
        del taken
        publish(publisher, seq := next(seqs))
        late = [(frame.codec, frame.seq) for reader in readers if (frame := reader.get(30)) is not None]
        assert late == [(Codec.JPEG, seq)] * 3
        assert [value(frame) for frame in held] == values
        assert publisher.stats()["shm_busy"] == 1
        held.clear()
        publish(publisher, next(seqs))
        assert value(one.get(30)) == seq + 1
        assert account(one).lost == 0


def test_a_host_without_room_for_a_ring_sends_frames_encoded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = Publisher("pub-1", rings=tmp_path / "none")
    try:
        with joined(publisher) as frames:
            for seq in range(3):
                publish(publisher, seq)
                frame = frames.get(30)
                assert frame is not None
                assert (frame.codec, frame.seq) == (Codec.JPEG, seq)
            assert (account(frames).lost, account(frames).dropped) == (0, {})
        assert publisher.stats()["shm_no_ring"] == 3
        assert [record.message for record in caplog.records if "without shared memory" in record.message] == [
            f"raw/door goes out encoded, without shared memory: no room of 0 MiB in {tmp_path}/none: "
            "No such file or directory"
        ]
    finally:
        publisher.close(flush=False)


@pytest.mark.parametrize("camera", ["door", None])
def test_a_subscriber_that_cannot_open_the_ring_takes_frames_from_then_on(
    camera: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a container that has the host's network and a /dev/shm of its own."""
    publisher = Publisher("pub-1", rings=tmp_path)
    try:
        with mesh.subscribe(publisher.endpoint, "raw", camera, view="shm", policy="fifo") as frames:
            wait_for(lambda: publisher.listens(View.SHM, "raw", "door"))
            publish(publisher, 0)
            wait_for(lambda: publisher.listens(View.FRAME, "raw", "door"))
            wait_for(lambda: not publisher.listens(View.SHM, "raw", "door"))
            for seq in range(1, 4):
                publish(publisher, seq)
            got = [frames.get(30) for _ in range(3)]
            assert [(frame.codec, frame.seq) for frame in got if frame] == [
                (Codec.JPEG, seq) for seq in range(1, 4)
            ]
            frames.get(0.01)
            assert account(frames).dropped == {"unreadable": 1}
            assert (account(frames).processed, account(frames).lost) == (3, 0)
        said = [record.message for record in caplog.records if "without shared memory" in record.message]
        assert len(said) == 1
        assert "raw/door is taken encoded" in said[0]
        assert not list(tmp_path.iterdir())  # nobody asks for the ring any more
    finally:
        publisher.close(flush=False)


def test_there_is_a_ring_while_somebody_asks_for_one(tmp_path: Path) -> None:
    publisher = Publisher("pub-1", rings=tmp_path)
    try:
        with joined(publisher):
            publish(publisher, 0)
            (ring,) = tmp_path.iterdir()
            assert ring.stat().st_mode & 0o777 == 0o600
        wait_for(lambda: not publisher.listens(View.SHM, "raw", "door"))
        publish(publisher, 1)
        assert list(tmp_path.iterdir()) == []
    finally:
        publisher.close(flush=False)


def test_a_larger_picture_gets_a_larger_ring(publisher: Publisher) -> None:
    with joined(publisher) as frames:
        for seq, side in enumerate((40, 400, 80)):
            frame = jpeg_frame(seq).with_image(np.full((side, side, 3), seq, np.uint8))
            publisher.publish(frame, picture=Pixels.of(frame))
            got = frames.get(30)
            assert got is not None
            assert (got.image.shape, value(got)) == ((side, side, 3), seq)


def test_gray_pixels_stay_gray(publisher: Publisher) -> None:
    with joined(publisher) as frames:
        frame = jpeg_frame(0).with_image(np.full((48, 64), 9, np.uint8))
        publisher.publish(frame, picture=Pixels.of(frame))
        got = frames.get(30)
    assert got is not None
    assert (got.channels, got.gray().shape, value(got)) == (1, (48, 64), 9)


def test_a_preview_of_pixels_goes_through_no_full_size_jpeg(publisher: Publisher) -> None:
    image = picture(640, 480)
    with joined(publisher, View.PREVIEW) as frames:
        frame = jpeg_frame(0).with_image(image)
        publisher.publish(frame, picture=Pixels.of(frame))
        got = frames.get(30)
    assert got is not None
    assert (got.width, got.height, got.attributes["full_size"]) == (320, 240, [640, 480])
    assert (
        np.abs(
            got.image.astype(int) - codec.shrunk(image, codec.fitted(image.shape[1], image.shape[0], 320))
        ).mean()
        < 8
    )
    assert "encoded" not in publisher.stats()


def test_a_picture_that_is_damaged_takes_no_number(publisher: Publisher) -> None:
    class Damaged(Pixels):
        def draw(self, into: codec.Image) -> None:
            into[:5] = 1
            raise DecodeError("damaged")

    with joined(publisher) as frames:
        publish(publisher, 0)
        with pytest.raises(DecodeError):
            publisher.publish(raw_frame(1), picture=Damaged(raw_frame(1).image))
        publish(publisher, 2)
        assert [value(frames.get(30)) for _ in range(2)] == [0, 2]
        assert account(frames).lost == 0


def test_a_lossless_stream_is_taken_on_shm_by_those_who_only_look(publisher: Publisher) -> None:
    publisher.lossless("raw", "door", hold=False)
    with joined(publisher) as frames:
        for seq in range(3):
            frame = jpeg_frame(seq).with_image(raw_frame(seq).image)
            lossless = Frame(**{**vars(frame), "lossless": True})
            assert publisher.publish(lossless, threading.Event(), Pixels.of(lossless))
            assert value(frames.get(30)) == seq
        assert account(frames).lost == 0


def test_what_is_published_last_arrives_though_its_publisher_closes_at_once() -> None:
    """The ring stays until somebody has opened it: its first frame may be its last."""
    with mesh.publish("tcp://127.0.0.1:*", "raw", "door") as out:
        frames = mesh.subscribe(out.endpoint, "raw", "door", view="shm")
        wait_for(lambda: out.listened_to)
        out.send(np.full((480, 640, 3), 5, np.uint8))
    with frames:
        assert value(frames.get(30)) == 5


def test_an_array_may_be_used_again_once_it_was_sent() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    with (
        mesh.publish("tcp://127.0.0.1:*", "raw", "door") as out,
        mesh.subscribe(out.endpoint, "raw", "door", view="shm", policy="fifo") as frames,
    ):
        wait_for(lambda: out.listened_to)
        for seq in range(4):
            image[:] = seq
            out.send(image)
        assert [value(frames.get(30)) for _ in range(4)] == [0, 1, 2, 3]


def test_a_publisher_that_closes_removes_its_ring(tmp_path: Path) -> None:
    publisher = Publisher("pub-1", rings=tmp_path)
    with joined(publisher):
        publish(publisher, 0)
        assert len(list(tmp_path.iterdir())) == 1
        publisher.close(flush=False)
        assert list(tmp_path.iterdir()) == []
