"""What an inbox counted, as a node reports it."""

from typing import Any

from mesh.inbox import StreamCount
from mesh.registry.records import GroupCount


def group_count(count: StreamCount, *, group: str, output: str, **results: Any) -> GroupCount:
    """The record of one stream's counts; `results` are the fields that say what became of the results."""
    return GroupCount(
        camera=count.camera,
        boot=count.boot,
        stage=count.stage,
        group=group,
        output=output,
        offered=count.offered,
        processed=count.processed,
        dropped=dict(count.dropped),
        lost=count.lost,
        in_flight=count.in_flight,
        duplicates=count.duplicates,
        spans=count.spans,
        ended=count.ended,
        **results,
    )
