"""A file that is read again for whoever asks."""

import queue
import threading

import pytest

from mesh.errors import ConfigError
from mesh.later import ControlRefused
from mesh.scope import Scope
from mesh.site.reloads import Reloads
from tests.support.waiting import wait_for


def test_those_who_ask_while_one_goes_on_are_answered_by_one_more() -> None:
    begun, results = threading.Semaphore(0), queue.SimpleQueue[int]()

    def reload() -> int:
        begun.release()
        return results.get()

    reloads = Reloads(reload)
    with Scope("test") as scope:
        reloads.run_in(scope)
        first = reloads.ask()
        begun.acquire()
        others = [reloads.ask() for _ in range(50)]
        assert not first.is_over
        results.put(1)
        results.put(2)
        wait_for(lambda: all(later.is_over for later in (first, *others)), "all are answered")
    assert first.result().value == 1
    assert {later.result().value for later in others} == {2}


def test_what_is_wrong_is_told_and_the_next_one_goes_well() -> None:
    outcomes = iter([ConfigError("mesh.toml:1: no"), None])

    def reload() -> str:
        if (outcome := next(outcomes)) is not None:
            raise outcome
        return "yes"

    reloads = Reloads(reload)
    with Scope("test") as scope:
        reloads.run_in(scope)
        refused = reloads.ask()
        wait_for(lambda: refused.is_over, "it is refused")
        right = reloads.ask()
        wait_for(lambda: right.is_over, "it is answered")
    with pytest.raises(ControlRefused, match=r"mesh\.toml:1: no"):
        refused.result()
    assert right.result().value == "yes"


def test_at_the_end_nobody_reads() -> None:
    reloads = Reloads(lambda: pytest.fail("it reads"))
    later = reloads.ask()
    with Scope("test") as scope:
        scope.stop()
        reloads.run_in(scope)
    assert not later.is_over
