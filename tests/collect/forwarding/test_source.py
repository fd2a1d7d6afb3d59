"""Segments read on from where they were read to, whole or damaged, closed or growing."""

import json
from pathlib import Path

import pytest

from mesh.errors import StorageError
from nodes.collect.forwarding.source import CHUNK_FRAMES, Chunk, Mark, read_on
from tests.collect.forwarding.hands import Folder
from tests.collect.support import segments


def seqs(chunk: Chunk) -> list[int | None]:
    return [frame.seq if frame is not None else None for frame in chunk.frames]


def recorded(into: Path, *seqs: int) -> Path:
    """A segment that was closed."""
    with Folder(into) as folder:
        folder.record(*seqs)
    return segments(into)[-1]


def test_a_segment_that_grows_is_read_on_and_not_again(tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        folder.record(0, 1, 2)
        (video,) = segments(tmp_path)
        assert seqs(read_on(video, Mark(), 2)) == [0, 1], "no more than is said to be safe"
        chunk = read_on(video, Mark(), 3)
        assert seqs(chunk) == [0, 1, 2]
        folder.record(3, 4)
        text = video.with_suffix(".jsonl")
        with video.open("r+b") as file, text.open("r+b") as lines:  # what was read is not looked at any more
            file.seek(chunk.mark.video_at - 200)
            file.write(b"\0" * 200)
            lines.write(b"\0" * (chunk.mark.text_at - 1))
        chunk = read_on(video, chunk.mark, 5)
        assert seqs(chunk) == [3, 4]
        assert seqs(read_on(video, chunk.mark, 5)) == []


def test_what_is_done_is_skipped(tmp_path: Path) -> None:
    video = recorded(tmp_path, *range(100))
    chunk = read_on(video, Mark(), 100, skip=30)
    assert seqs(chunk) == list(range(30, 30 + CHUNK_FRAMES)), "no more than a chunk"
    assert seqs(read_on(video, chunk.mark, 100)) == list(range(30 + CHUNK_FRAMES, 100))


def test_damage_costs_the_frame_that_it_is_in(tmp_path: Path) -> None:
    video = recorded(tmp_path, *range(6))
    text = video.with_suffix(".jsonl")
    lines = text.read_bytes().splitlines(keepends=True)
    lines[1] = b"{" + lines[1][:-3] + b"?\n"
    text.write_bytes(b"".join(lines[:-1]))  # and the last one is missing
    data = bytearray(video.read_bytes())
    clusters = [at for at in range(len(data)) if data[at : at + 4] == b"\x1f\x43\xb6\x75"]
    data[clusters[3] + 60] ^= 1  # a picture
    data[clusters[4]] ^= 1  # a cluster's head
    video.write_bytes(data)
    assert seqs(read_on(video, Mark(), 6)) == [0, None, 2, None, None, None]


@pytest.mark.parametrize("more", [100, 1_000_000])
def test_a_time_that_is_damaged_costs_its_own_frame_alone(tmp_path: Path, more: int) -> None:
    video = recorded(tmp_path, *range(6))
    text = video.with_suffix(".jsonl")
    lines = text.read_bytes().splitlines(keepends=True)
    wrong = json.loads(lines[2])
    wrong["pts_ms"] += more  # beyond some pictures, or beyond all
    lines[2] = json.dumps(wrong).encode() + b"\n"
    text.write_bytes(b"".join(lines))
    chunk = read_on(video, Mark(), 4)
    assert seqs(chunk) == [0, 1, None, 3]
    assert seqs(read_on(video, chunk.mark, 6)) == [4, 5]


@pytest.mark.parametrize("name", ["captured_ns", "boot", "seq", "pts_ms"])
def test_a_number_that_no_frame_has_is_damage(tmp_path: Path, name: str) -> None:
    video = recorded(tmp_path, 0, 1)
    text = video.with_suffix(".jsonl")
    first, second = text.read_bytes().splitlines(keepends=True)
    text.write_bytes(json.dumps(json.loads(first) | {name: 2**70}).encode() + b"\n" + second)
    assert seqs(read_on(video, Mark(), 2)) == [None, 1]


def test_what_is_no_recording_is_told_apart_from_what_is_gone(tmp_path: Path) -> None:
    video = recorded(tmp_path, 0)
    video.write_bytes(b"nothing of ours")
    with pytest.raises(StorageError, match="not a Matroska file"):
        read_on(video, Mark(), 1)
    video.unlink()
    with pytest.raises(FileNotFoundError):
        read_on(video, Mark(), 1)
