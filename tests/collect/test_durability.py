"""When results are committed, as a command line says it."""

from pathlib import Path

import pytest

from mesh.delivery.lane import FLIGHT_BYTES, FLIGHT_RESULTS
from mesh.errors import ConfigError
from nodes.collect.commits import DEFAULT_POLICY, CommitPolicy, policy_of
from tests.collect.test_recording import recording, seqs
from tests.support.waiting import wait_for


def test_what_is_not_said_is_as_it_was() -> None:
    assert policy_of(None, None, None, 60.0) == DEFAULT_POLICY
    assert policy_of(None, 50.0, 10, 60.0) == CommitPolicy(0.05, 10)


@pytest.mark.parametrize(("name", "seconds"), [("1s", 1.0), ("segment", 60.0)])
def test_who_waits_for_the_disk_does_not_wait_for_the_collector(name: str, seconds: float) -> None:
    """A sender has so much on its way at most: with half of that a commit is due at the latest."""
    policy = policy_of(name, None, None, 60.0)
    assert (policy.seconds, policy.frames, policy.bytes) == (seconds, FLIGHT_RESULTS / 2, FLIGHT_BYTES / 2)


def test_what_says_it_twice_or_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="leave out --commit-ms"):
        policy_of("always", 5.0, None, 60.0)
    with pytest.raises(ConfigError, match="'never' is none: use always, 1s, segment"):
        policy_of("never", None, None, 60.0)


def test_always_has_each_result_acknowledged_though_no_other_comes(tmp_path: Path) -> None:
    with recording(tmp_path, policy_of("always", None, None, 60.0)) as bench:
        for seq in range(20):
            bench.push(seq)
            wait_for(lambda seq=seq: bench.acked == list(range(seq + 1)))  # type: ignore[misc]
            assert seqs(tmp_path)[-1] == seq


def test_with_segment_results_wait_for_many_and_are_safe_when_they_are_acknowledged(tmp_path: Path) -> None:
    with recording(tmp_path, policy_of("segment", None, None, 3600.0), segment_seconds=3600.0) as bench:
        bench.push(*range(FLIGHT_RESULTS // 2 - 1), size=(16, 16))
        wait_for(lambda: len(bench.forwarded) == FLIGHT_RESULTS // 2 - 1)
        assert bench.acked == []
        bench.push(FLIGHT_RESULTS // 2 - 1, size=(16, 16))
        wait_for(lambda: len(bench.acked) == FLIGHT_RESULTS // 2)
        assert len(seqs(tmp_path)) == FLIGHT_RESULTS // 2
