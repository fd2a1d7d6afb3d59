"""Who takes pixels in shared memory, and who frames."""

import pytest

from mesh.errors import ConfigError
from mesh.registry.records import StreamRecord
from mesh.views import check_view, choose
from mesh.wire import View

HERE, THERE = "boot/1", "boot/2"


def published(place: str = HERE, *, lossless: bool = False) -> StreamRecord:
    local = "ipc://@framemesh-1" if place else ""
    return StreamRecord(
        stage="raw",
        camera="door",
        node="capture",
        endpoint="tcp://192.0.2.1:5",
        local=local,
        place=place,
        lossless=lossless,
    )


@pytest.mark.parametrize(
    ("view", "records", "fresh", "taken"),
    [
        (None, [published()], True, View.SHM),
        (None, [published()], False, View.FRAME),  # in a queue it would be overwritten
        (None, [published(THERE)], True, View.FRAME),
        (None, [published("")], True, View.FRAME),
        (None, [published(), published(THERE)], True, View.FRAME),
        (None, [published(lossless=True)], True, View.FRAME),
        (View.SHM, [published()], False, View.SHM),
        (View.SHM, [published(THERE)], True, View.FRAME),
        (View.SHM, [published(lossless=True)], True, View.FRAME),
        (View.FRAME, [published()], True, View.FRAME),
        (View.META, [published()], True, View.META),
    ],
)
def test_pixels_are_taken_from_publishers_here_by_those_who_take_the_latest(
    view: View | None, records: list[StreamRecord], fresh: bool, taken: View
) -> None:
    assert choose(view, records, HERE, fresh=fresh) is taken


def test_without_a_place_nobody_is_near() -> None:
    assert choose(None, [published("")], "", fresh=True) is View.FRAME


def test_a_view_is_known_by_its_name() -> None:
    assert check_view("auto") is None
    assert check_view("shm") is View.SHM
    with pytest.raises(ConfigError, match="view 'pixels' is none of auto, frame, meta, preview, shm"):
        check_view("pixels")
