"""`mesh registry`: run the embedded registry server."""

import logging
import resource
import signal
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from mesh.cli.log import set_up
from mesh.cli.options import Insecure, LogJson, LogLevel, Metrics
from mesh.errors import ConfigError
from mesh.presence import this_version
from mesh.scope import Scope

log = logging.getLogger(__name__)


def registry(
    bind: Annotated[str, typer.Option(metavar="URL", help="Where to listen; * is a free port.")] = (
        "tcp://127.0.0.1:7700"
    ),
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where configuration is kept; in memory without it.")
    ] = None,
    insecure: Insecure = False,
    metrics: Metrics = None,
    log_level: LogLevel = "info",
    log_json: LogJson = False,
) -> None:
    """Run a registry, through which nodes find each other, until SIGTERM or Ctrl-C."""
    set_up(log_level, log_json)
    _allow_connections()
    from mesh.registry.server import RegistryServer
    from nodes.address import check_bind
    from nodes.metrics.serving import open_server, tell_registry
    from nodes.signals import EXIT_INTERRUPTED, Signals

    host = urlsplit(bind).hostname
    if not bind.startswith("tcp://") or host is None:
        raise ConfigError(f"--bind {bind!r} is not tcp://HOST:PORT")
    check_bind(host if host != "*" else "0.0.0.0", insecure)
    with ExitStack() as stack:
        told = stack.enter_context(closing(open_server(metrics, insecure))) if metrics else None
        server = stack.enter_context(RegistryServer(bind=bind, state=state, version=this_version()))
        if told is not None:
            tell_registry(told, stack.enter_context(Scope("metrics")), server.stats)
            log.info("its metrics are at %s", told.url)
        caught = stack.enter_context(Signals(server.stop, server.stop))
        log.info("the registry listens at %s", server.url)
        server.wait()
    raise typer.Exit(EXIT_INTERRUPTED if caught.number == signal.SIGINT else 0)


def _allow_connections() -> None:
    """Have as many files open as the system lets this process: each client has two connections, and the usual
    limit of 1,024 would leave the 500th node waiting without a word."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
