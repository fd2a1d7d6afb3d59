"""A whole collect node in a process that `Forks` starts: registry, sockets, recovery, recording."""

from pathlib import Path

import mesh.registry.memory  # noqa: F401 -- imported when it is asked for, which is too late here
from nodes.collect.commits import CommitPolicy
from nodes.collect.forwarding.forwarding import Forwarding
from nodes.collect.node import Collect, CollectConfig
from nodes.collect.recovery import Recovered
from nodes.collect.reorder import Bounds
from nodes.node import Node, NodeConfig
from tests.support.forks import Tell
from tests.support.waiting import WITHIN_S

NAME = "collect"
PATIENT = Bounds(seconds=WITHIN_S, quiet_seconds=WITHIN_S)


class _Told(Collect):
    """Tells where it can be reached once it has recovered its folder."""

    def __init__(self, config: CollectConfig, tell: Tell) -> None:
        super().__init__(config)
        self._tell = tell

    def _begin(self, node: Node, recovered: Recovered, forwarding: Forwarding) -> None:
        super()._begin(node, recovered, forwarding)
        endpoints = node.presence.node.endpoints
        self._tell({role: endpoints[role] for role in ("pull", "pub")})


def collect(
    tell: Tell,
    into: str,
    segment_seconds: float = 60.0,
    commit_s: float = 0.2,
    commit_frames: int = 256,
) -> None:
    """Record to `into` until SIGTERM comes, or SIGKILL. What is missing comes: it is waited for."""
    commit = CommitPolicy(commit_s, commit_frames)
    config = CollectConfig(Path(into), segment_seconds=segment_seconds, commit=commit, bounds=PATIENT)
    Node(_Told(config, tell), NodeConfig("memory:", name=NAME)).run()
