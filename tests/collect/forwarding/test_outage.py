"""An outage is told when it has lasted, and when it ends; by another reason not all the time."""

from nodes.collect.forwarding.outage import AGAIN_S, PATIENCE_S, Outage


def test_what_lasts_is_told_and_what_does_not_is_not() -> None:
    told: list[str] = []
    outage = Outage("tcp://hq", lambda: told.append(outage.told))
    for now in (0.0, PATIENCE_S - 0.1):
        outage.look("away", 3, now, 7)
    outage.look("", 0, PATIENCE_S, 8)
    assert (told, outage.since_ns) == ([], 0)
    begun = 10.0
    outage.look("away", 3, begun, 9)
    outage.look("away", 4, begun + PATIENCE_S, 10)
    outage.look("refused", 4, begun + PATIENCE_S + AGAIN_S / 2, 11)
    assert (told, outage.since_ns) == (["away"], 9)
    outage.look("refused", 5, begun + PATIENCE_S + AGAIN_S, 12)
    outage.look("", 5, begun + PATIENCE_S + AGAIN_S + 1, 13)
    assert told == ["away", "refused", ""]
