import threading

import pytest

from mesh.scope import Scope


def test_leaving_a_scope_stops_and_joins_its_threads() -> None:
    ended = []
    with Scope("test") as scope:
        scope.spawn("waiter", lambda: ended.append(scope.stopping.wait()))
        assert "test:waiter" in repr(scope)
    assert ended == [True]
    assert not [thread for thread in threading.enumerate() if thread.name == "test:waiter"]


def test_the_first_error_of_a_thread_is_raised_to_whoever_leaves() -> None:
    def fail() -> None:
        raise ValueError("broken")

    scope = Scope("test")
    scope.spawn("failing", fail)
    assert scope.stopping.wait(30), "a thread that fails stops its scope"
    with pytest.raises(ValueError, match="broken"):
        scope.__exit__(None, None, None)


def test_what_the_block_itself_raises_comes_first() -> None:
    def fail() -> None:
        raise ValueError("thread")

    def block() -> None:
        with Scope("test") as scope:
            scope.spawn("failing", fail)
            scope.stopping.wait(30)
            raise KeyError("block")

    with pytest.raises(KeyError, match="block"):
        block()


def test_wake_ups_are_called_once_and_at_once_when_it_is_late() -> None:
    calls: list[str] = []
    scope = Scope("test")
    scope.on_stop(lambda: calls.append("early"))
    scope.stop()
    scope.stop()
    scope.on_stop(lambda: calls.append("late"))
    assert calls == ["early", "late"]


def test_a_child_that_fails_fails_its_parent_and_a_parent_that_stops_leaves_it_running() -> None:
    parent = Scope("parent")
    child = Scope("child", parent)
    other = Scope("other", parent)
    child.fail(ValueError("broken"))
    assert parent.stopping.is_set()
    assert isinstance(parent.error, ValueError)
    assert not other.stopping.is_set()


def test_a_thread_may_stop_and_join_its_own_scope() -> None:
    with Scope("test") as scope:

        def stop() -> None:
            scope.stop()
            scope.join()

        scope.spawn("stopper", stop)
        assert scope.stopping.wait(30)


def test_an_interrupt_in_the_midst_of_stopping_leaves_nobody_waiting() -> None:
    """As from Ctrl-C while a wake-up waits for a lock."""
    calls: list[str] = []

    def interrupted() -> None:
        calls.append("first")
        if calls == ["first"]:
            raise KeyboardInterrupt

    def leave() -> None:
        with Scope("test") as scope:
            woken = threading.Event()
            scope.on_stop(interrupted)
            scope.on_stop(lambda: calls.append("second"))
            scope.on_stop(woken.set)
            scope.spawn("waiter", lambda: calls.append(f"woken: {woken.wait(30)}"))

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert sorted(calls) == ["first", "first", "second", "woken: True"]
    assert not [thread for thread in threading.enumerate() if thread.name == "test:waiter"]
