"""A node's metrics, and a registry's: what is told on the port, and where that is.

Rules kept here: the port is taken before anything else begins, so that one that is in use is told at once;
what is read is as of that moment, and every report that the node makes anyway is taken in too, so that
nothing is lost of what comes and goes between two readers.
"""

import ipaddress
from collections.abc import Callable, Iterator, Mapping

from mesh.errors import ConfigError
from mesh.presence import Presence, this_version
from mesh.registry.records import StatsRecord
from mesh.scope import Scope
from nodes.address import advertised, metrics_address
from nodes.metrics.samples import Counted, Sample, counted, measured
from nodes.metrics.server import PATH, MetricsServer
from nodes.metrics.totals import Totals


def open_server(text: str, insecure: bool) -> MetricsServer:
    """The server for `--metrics [HOST:]PORT`. Raises `ConfigError` and `TransportError`."""
    host, port = metrics_address(text, insecure)
    try:
        import prometheus_client  # noqa: F401 - whether it is there
    except ImportError as error:
        raise ConfigError("--metrics needs prometheus-client: pip install 'framemesh[metrics]'") from error
    return MetricsServer(host, port)


class NodeMetrics:
    """One node's metrics, on a port from the start and told from `run_in` on."""

    def __init__(self, text: str, insecure: bool) -> None:
        self._server = open_server(text, insecure)
        self._totals = Totals()

    def __repr__(self) -> str:
        return f"<NodeMetrics at {self._server.url} {self._totals}>"

    def endpoint(self, advertise: str | None, registry_url: str) -> str:
        """Where others read them, as a URL."""
        host = self._server.host
        if ipaddress.ip_address(host).is_loopback:
            return self._server.url
        far = advertised(self._server.url, host, advertise, registry_url)
        return far.replace("tcp://", "http://", 1) + PATH

    def saw(self, report: StatsRecord) -> None:
        """Take in a report of the node."""
        self._totals.look(counted(report))

    def run_in(self, scope: Scope, presence: Presence) -> None:
        """Tell what `presence` reports, on a thread of `scope`; each report is told to `saw`, too."""
        from nodes.metrics.exposition import exposition

        def samples() -> Iterator[Sample]:
            report = presence.counters()
            yield from measured(presence.node, presence.cameras, report, connected=presence.connected)
            yield from self._totals.samples()

        self._server.run_in(scope, exposition(samples))

    def close(self) -> None:
        """Let go of the port. The scope's threads have ended."""
        self._server.close()


def registry_counted(stats: Mapping[str, int]) -> Iterator[Counted]:
    """What a registry's server counts: see `RegistryServer.stats`."""
    outcomes = {"answered": stats["requests"] - stats["refused"]}
    outcomes |= {outcome: stats[outcome] for outcome in ("refused", "repeated", "malformed")}
    for outcome, n in outcomes.items():
        yield Counted(Sample("mesh_registry_requests_total", (outcome,), (n,)))


def tell_registry(server: MetricsServer, scope: Scope, stats: Callable[[], Mapping[str, int]]) -> None:
    """Tell on a thread of `scope` what a registry's `stats` are."""
    from nodes.metrics.exposition import exposition

    totals = Totals()

    def samples() -> Iterator[Sample]:
        totals.look(registry_counted(stats()))
        yield Sample("mesh_registry_info", (this_version(),), (1,))
        yield from totals.samples()

    server.run_in(scope, exposition(samples))
