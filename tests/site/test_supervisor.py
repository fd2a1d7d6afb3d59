"""The supervisor, with real processes and a clock that is moved by hand."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from mesh.scope import Scope
from mesh.site.parts import LEAST_PATIENCE_S, REGISTRY
from mesh.site.restarts import FIRST_S, STEADY_S
from mesh.site.supervisor import SETTLE_S
from tests.site.processes import DEAF, HELD, SHELL, SLEEPS, Site, part, runs

REGISTRY_PART = part("registry", kind=REGISTRY, depth=1000)


@contextmanager
def supervised(folder: Path, program: tuple[str, ...] = SHELL) -> Iterator[Site]:
    log = logging.getLogger("mesh.site.supervisor")
    level = log.level
    with Scope("site") as scope:
        site = Site(folder, scope, program)
        log.addHandler(site)
        log.setLevel(logging.INFO)
        try:
            yield site
        finally:
            site.supervisor.kill()
            site.until(lambda: site.supervisor.is_over)
            log.removeHandler(site)
            log.setLevel(level)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with supervised(tmp_path) as made:
        yield made


def test_of_several_of_one_kind_one_is_replaced_at_a_time(site: Site) -> None:
    names = ["a", "b", "c"]
    site.run(*map(part, names))
    site.advance(SETTLE_S * 1.1)
    site.want(*(part(name, f"{SLEEPS} # changed") for name in names))
    site.until(lambda: site.names("is started") == [*names, "a"])
    site.advance(SETTLE_S * 0.9)
    assert site.names("has ended") == ["a"]
    site.advance(SETTLE_S * 0.2)
    site.until(lambda: site.names("is started")[3:] == ["a", "b"])
    site.advance(SETTLE_S * 0.9)
    assert site.names("has ended") == ["a", "b"]
    site.advance(SETTLE_S * 0.2)
    site.until(lambda: site.names("is started")[3:] == names)


def test_who_was_just_started_is_waited_for(site: Site) -> None:
    site.run(part("a"))
    site.advance(SETTLE_S * 1.1)
    site.want(part("a", f"{SLEEPS} # changed"), part("b"))
    site.until(lambda: site.names("is started") == ["a", "b"])
    site.advance(SETTLE_S * 0.9)
    assert not site.lines("has ended")
    site.advance(SETTLE_S * 0.2)
    site.until(lambda: site.names("is started") == ["a", "b", "a"])


def test_who_is_removed_or_of_another_kind_is_not_waited_for(site: Site) -> None:
    site.run(part("a"), part("b"), part("c", kind="collect"))
    site.want(part("a", f"{SLEEPS} # changed"), part("c", f"{SLEEPS} # changed", kind="collect"))
    site.until(lambda: sorted(site.names("has ended")) == ["a", "b", "c"])
    assert sorted(site.states) == ["a", "c"]


def test_who_fails_is_not_waited_for(site: Site) -> None:
    fails = part("fails", "exit 1")
    site.run(part("a"))
    site.want(part("a"), fails)
    site.until(lambda: site.states["fails"].failures == 1)
    site.want(part("a", f"{SLEEPS} # changed"), fails)
    site.until(lambda: site.names("has ended") == ["a"])


def test_whoever_is_upstream_is_replaced_first(site: Site) -> None:
    parts = [("collect", SLEEPS, 3), ("process", SLEEPS, 2), ("capture", HELD, 1)]
    site.run(*(part(name, script, name, depth) for name, script, depth in parts))
    site.advance(SETTLE_S * 1.1)
    site.want(*(part(name, f"{script} # changed", name, depth) for name, script, depth in parts))
    site.until(lambda: "told" in site.said["capture"])
    site.advance(SETTLE_S * 1.1)
    assert not site.lines("has ended")
    release(site)
    site.until(lambda: len(site.names("is started")) == 6)
    assert site.names("has ended") == ["capture", "process", "collect"]


def release(site: Site) -> None:
    """Have those that are held end."""
    (site.folder / "go").touch()


def test_at_the_end_whoever_is_upstream_ends_first_and_the_registry_last(site: Site) -> None:
    names = ["collect", "process", "capture"]
    parts = [part(name, HELD, name, 3 - depth) for depth, name in enumerate(names)]
    site.run(REGISTRY_PART, *parts)
    site.supervisor.end()
    site.until(lambda: "told" in site.said["capture"])
    site.advance(SETTLE_S * 1.1)
    assert not site.lines("has ended")
    assert [name for name in names if "told" in site.said[name]] == ["capture"]
    release(site)
    site.until(lambda: site.supervisor.is_over)
    assert site.names("has ended") == ["capture", "process", "collect", "registry"]


def test_what_is_not_to_run_any_more_is_not_said_to_start_again(site: Site) -> None:
    site.run(part("capture", HELD, depth=0), part("process"))
    site.supervisor.end()
    site.until(lambda: "told" in site.said["capture"])
    os.kill(site.pid("process"), signal.SIGKILL)
    site.until(lambda: site.lines("process has ended with signal 9"))
    assert not site.lines("starts again")
    release(site)
    site.until(lambda: site.supervisor.is_over)


def test_one_that_does_not_end_is_killed_when_its_patience_is_over(site: Site) -> None:
    site.run(part("deaf", DEAF), part("other"))
    site.want(part("other"))
    site.supervisor.step()
    site.advance(LEAST_PATIENCE_S * 0.9)
    assert not site.lines("is killed")
    assert site.states["deaf"].runs
    site.advance(LEAST_PATIENCE_S * 0.2)
    site.until(lambda: "deaf" not in site.states)
    assert site.lines("deaf")[-2:] == [
        f"deaf did not end within {LEAST_PATIENCE_S:.0f} s and is killed",
        "deaf has ended with signal 9",
    ]
    assert site.states["other"].runs


def test_all_are_killed_at_once_however_deaf(site: Site) -> None:
    site.run(REGISTRY_PART, part("deaf", DEAF), part("capture", HELD, depth=0))
    pids = list(map(site.pid, site.states))
    site.supervisor.end()
    site.supervisor.kill()
    site.until(lambda: site.supervisor.is_over)
    assert not any(map(runs, pids))
    assert not site.states


def has_failed(site: Site, name: str, count: int) -> bool:
    return site.states[name].failures == count


def test_what_waits_to_be_started_again_is_started_at_once_when_asked_for(site: Site) -> None:
    fails = part("fails", "exit 3")
    site.want(fails)
    for count in (1, 2, 3):
        site.until(partial(has_failed, site, "fails", count))
        site.advance(0.0)
        assert len(site.names("is started")) == count  # not by itself
        site.want(fails)
    site.until(lambda: len(site.names("is started")) == 4)


def test_what_fails_is_started_again_when_its_time_has_come(site: Site) -> None:
    site.want(part("fails", "[ -e mended ] && exec sleep 1000; echo it is broken; exit 3"))
    site.until(lambda: site.states["fails"].failures == 1)
    assert "fails ended with exit code 3; it starts again in " in site.lines("fails")[-1]
    assert site.lines("fails")[-1].endswith(" s: it is broken")
    state = site.states["fails"]
    assert (state.runs, state.last) == (False, "it is broken")
    site.clock.advance(2.0)
    site.until(lambda: site.states["fails"].failures == 2)
    assert "fails ended with exit code 3, 2 times in a row; it starts again in " in site.lines("fails")[-1]
    (site.folder / "mended").touch()
    site.clock.advance(4.0)
    site.until(lambda: site.states["fails"].runs)
    site.advance(STEADY_S * 0.9)
    assert site.states["fails"].failures == 2
    site.advance(STEADY_S * 0.2)
    state = site.states["fails"]
    assert (state.runs, state.failures) == (True, 0)


def test_a_registry_that_ends_by_itself_is_started_again_and_a_node_is_not(site: Site) -> None:
    ends = "exit 0"
    site.want(part("registry", ends, REGISTRY), part("node", ends))
    site.until(lambda: len(site.lines("ended")) == 2)
    assert site.lines("node has ended, as it was asked to; `mesh reload` starts it again")
    assert site.lines("registry ended with exit code 0; it starts again in ")
    site.clock.advance(100.0)
    site.until(lambda: site.names("is started").count("registry") == 2)
    site.advance(100.0)
    assert site.names("is started").count("node") == 1
    site.want(part("registry", ends, REGISTRY), part("node", ends))
    site.until(lambda: site.names("is started").count("node") == 2)


def test_a_program_that_cannot_be_started_is_tried_again_and_leaves_nothing_open(tmp_path: Path) -> None:
    with supervised(tmp_path, ("/no/such/program",)) as site:
        files = len(os.listdir("/proc/self/fd"))
        site.want(part("a"))
        for count in (1, 2, 3):
            site.until(partial(has_failed, site, "a", count))
            site.advance(0.0)
            assert len(site.logged) == count
            site.clock.advance(30.0)
        assert all(
            line.startswith("a cannot be started: No such file or directory; again in ")
            for _, line in site.logged
        )
        assert len(os.listdir("/proc/self/fd")) == files


def test_it_says_in_how_long_there_is_more_to_do(site: Site) -> None:
    site.run(part("deaf", DEAF), part("fails"))
    assert site.supervisor.step() is None
    os.kill(site.pid("fails"), signal.SIGKILL)
    site.until(lambda: not site.states["fails"].runs)
    assert 0.0 < (site.supervisor.step() or 0.0) <= FIRST_S
    site.want()
    site.supervisor.step()
    site.advance(LEAST_PATIENCE_S - 0.5)
    assert site.supervisor.step() == pytest.approx(0.5)  # then it is killed
