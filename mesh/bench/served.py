"""A registry server for a bench."""

import time
from pathlib import Path

from mesh.bench.children import WITHIN_S, BenchError, Child, Children
from mesh.bench.paced import pause
from mesh.errors import RegistryUnavailable
from mesh.registry import open_registry

LOOK_EVERY_S = 0.02


def serve(children: Children, url: str, state: Path | None = None) -> Child:
    """Start a server at `url`, and wait until it answers. Raises `BenchError`."""
    server = children.mesh("registry", "--bind", url, *(["--state", state] if state else []))
    deadline = time.monotonic() + WITHIN_S
    with open_registry(url, timeout=1.0) as registry:
        while True:
            server.check()
            try:
                registry.get("nodes/nobody")
                return server
            except RegistryUnavailable as error:
                if time.monotonic() > deadline:
                    raise BenchError(f"no registry within {WITHIN_S:g} s: {error}") from error
                pause(LOOK_EVERY_S)
