"""When something was recorded, and when not, over many segments; and what was seen. Pure.

Rules kept here: what touches is one: an event that goes on in the next segment, a recording that does; what
a late segment brought fills the gap that it belongs to; what was left out by choice is no gap, and was not
recorded.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from mesh.recordings.contents import EVENT_GAP_NS, GAP_NS, SLOW, Gap, better
from mesh.recordings.index import SegmentRow
from mesh.recordings.query import FAR_NS, Occurrence


class Span(NamedTuple):
    """Frames came from `first_ns` to `last_ns`. What came up to `slack_ns` before it is no gap away."""

    first_ns: int
    last_ns: int
    slack_ns: int = GAP_NS


def recorded(
    held: Iterable[tuple[SegmentRow, Sequence[Gap]]],
    *,
    skipped: bool = False,
    left_out: Iterable[tuple[int, int]] = (),
) -> list[Span]:
    """The times in which frames of one stream were recorded, in order; with those in which they were
    `skipped` by choice before one was recorded, or `left_out` and none was, what lies between is gaps."""
    made: list[Span] = []
    spans = [*_spans(sorted(held, key=lambda each: each[0].first_ns), skipped)]
    for span in sorted([*spans, *_left_out(spans, left_out)]):
        if made and span.first_ns - made[-1].last_ns <= span.slack_ns:
            made[-1] = made[-1]._replace(last_ns=max(made[-1].last_ns, span.last_ns))
        else:
            made.append(span)
    return made


def between(spans: Sequence[Span]) -> Iterator[Gap]:
    """The gaps between spans that are in order."""
    for before, after in pairwise(spans):
        yield Gap(before.last_ns, after.first_ns)


def clipped(spans: Iterable[Span], from_ns: int, to_ns: int) -> Iterator[Span]:
    """What of the spans lies in [from_ns, to_ns)."""
    for span in spans:
        if span.first_ns < to_ns and span.last_ns >= from_ns:
            yield span._replace(first_ns=max(span.first_ns, from_ns), last_ns=min(span.last_ns, to_ns))


def joined(pieces: Iterable[Occurrence]) -> list[Occurrence]:
    """Events of segments, those that touch made one; in order of time."""
    made: defaultdict[tuple[str, str, str, str], list[Occurrence]] = defaultdict(list)
    for piece in sorted(pieces, key=lambda each: (each.first_ns, each.last_ns)):
        same = made[piece.camera, piece.stage, piece.label, piece.by]
        if same and piece.first_ns - same[-1].last_ns <= EVENT_GAP_NS:
            same[-1] = _together(same[-1], piece)
        else:
            same.append(piece)
    return sorted((each for same in made.values() for each in same), key=_order)


def _order(each: Occurrence) -> tuple[int, str, str, str, str]:
    return each.first_ns, each.camera, each.stage, each.label, each.by


def _together(one: Occurrence, other: Occurrence) -> Occurrence:
    return replace(
        one,
        last_ns=max(one.last_ns, other.last_ns),
        frames=one.frames + other.frames,
        best=better(one.best, other.best),
    )


def _left_out(spans: Sequence[Span], left_out: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """As spans; what is older than all that was recorded belongs to what is not kept any more."""
    begin_ns = min((span.first_ns for span in spans), default=FAR_NS)
    slack_ns = max((span.slack_ns for span in spans), default=GAP_NS)
    return (Span(*each, slack_ns) for each in left_out if each[1] > begin_ns)


def _spans(held: Iterable[tuple[SegmentRow, Sequence[Gap]]], skipped: bool) -> Iterator[Span]:
    """The parts of each segment between its gaps; the first of them with what was `skipped` before it.

    How far two segments of a slow camera may be apart follows from its usual interval; of a file with one
    frame, which has none, from that of the file before.
    """
    interval_ns = last_ns = 0
    for row, gaps in held:
        starts = [row.first_ns, *(gap.last_ns for gap in gaps)]
        ends = [*(gap.first_ns for gap in gaps), row.last_ns]
        parts = list(zip(starts, ends, strict=True))
        if row.frames > len(parts):
            interval_ns = sum(end - start for start, end in parts) // (row.frames - len(parts))
        first_ns, end_ns = parts[0]
        if skipped and row.skipped_ns:
            first_ns = min(first_ns, row.skipped_ns)
        yield Span(first_ns, end_ns, max(GAP_NS, SLOW * interval_ns))
        yield from (Span(*part) for part in parts[1:])
        if row.frames == 1 and last_ns:
            interval_ns = max(0, row.first_ns - last_ns)
        last_ns = max(last_ns, row.last_ns)
