"""The arrows of docs/architecture.md: who may import whom, and who may import which library."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("mesh/**/*.py"), *ROOT.glob("nodes/**/*.py")])

# What each may import besides itself; the first entry that a module lies within counts.
GROUND = {
    "mesh.backoff",
    "mesh.errors",
    "mesh.clock",
    "mesh.scope",
    "mesh.signals",
    "mesh.stats",
    "mesh.names",
    "mesh.database",
    "mesh.place",
    "mesh.ports",
    "mesh.ages",
    "mesh.choice",
    "mesh.steps",
}
VALUES = GROUND | {"mesh.codec", "mesh.pixels", "mesh.frame", "mesh.picture"}
FABRIC = VALUES | {
    "mesh.wire",
    "mesh.transport",
    "mesh.accounts",
    "mesh.inbox",
    "mesh.delivery",
    "mesh.registry",
    "mesh.placement",
}
NODE = {
    "mesh",
    "nodes.node",
    "nodes.address",
    "nodes.connection",
    "nodes.counting",
    "nodes.operations",
    "nodes.options",
    "nodes.redact",
    "nodes.secrets",
}
LAYERS: dict[str, set[str]] = {
    "mesh.cli": {"mesh", "nodes"},
    "mesh.__main__": {"mesh.cli"},
    "mesh.bench": {"mesh", "nodes"},
    "mesh.site": FABRIC
    | {"mesh.client", "mesh.control", "mesh.later", "mesh.recordings.limits", "mesh.setups"},
    "mesh.top": GROUND | {"mesh.client", "mesh.ledger", "mesh.registry", "mesh.setups", "mesh.trace"},
    "mesh.doctor": FABRIC | {"mesh.control", "mesh.ledger", "mesh.presence", "mesh.setups"},
    "mesh.demo": VALUES | {"mesh.client", "mesh.draw", "mesh.ledger", "mesh.registry", "mesh.site.leash"},
    "nodes.capture": NODE,
    "nodes.process": NODE,
    "nodes.collect": NODE,
    "nodes": NODE,
    "mesh.client": FABRIC
    | {
        "mesh.control",
        "mesh.orders",
        "mesh.publication",
        "mesh.setups",
        "mesh.subscription",
        "mesh.views",
        "mesh.ledger",
        "mesh.presence",
        "mesh.trace",
    },
    "mesh.subscription": FABRIC | {"mesh.follow", "mesh.views", "mesh.claims"},
    "mesh.publication": FABRIC | {"mesh.presence"},
    "mesh.setups": {"mesh.errors", "mesh.names", "mesh.placement", "mesh.registry"},
    "mesh.importing": {"mesh.errors"},
    "mesh.recordings": FABRIC | {"mesh.draw"},
    "mesh.collectors": FABRIC,
    "mesh.follow": FABRIC | {"mesh.views"},
    "mesh.views": FABRIC,
    "mesh.claims": FABRIC | {"mesh.shm"},
    "mesh.control": FABRIC | {"mesh.later"},
    "mesh.later": VALUES,
    "mesh.orders": FABRIC | {"mesh.control", "mesh.setups"},
    "mesh.presence": GROUND | {"mesh.registry"},
    "mesh.ledger": {"mesh.registry.records"},
    "mesh.draw": VALUES,
    "mesh.trace": {"mesh.frame"},
    "mesh.delivery": VALUES | {"mesh.wire", "mesh.transport", "mesh.placement"},
    "mesh.inbox": VALUES | {"mesh.wire", "mesh.freshness", "mesh.accounts"},
    "mesh.accounts": VALUES | {"mesh.wire", "mesh.arrivals"},
    "mesh.arrivals": set(),
    "mesh.freshness": set(),
    "mesh.transport": VALUES | {"mesh.wire", "mesh.shm"},
    "mesh.shm": VALUES,
    "mesh.wire": VALUES | {"mesh.shm.layout"},
    "mesh.picture": {"mesh.codec", "mesh.frame"},
    "mesh.frame": GROUND | {"mesh.codec", "mesh.pixels"},
    "mesh.pixels": {"mesh.codec"},
    "mesh.codec": GROUND,
    "mesh.registry": GROUND,
    "mesh.database": set(),
    "mesh.placement": set(),
    "mesh.membership": {"mesh.placement", "mesh.registry", "mesh.errors"},
    "mesh.names": {"mesh.errors"},
    "mesh.place": set(),
    "mesh.backoff": set(),
    "mesh.ports": set(),
    "mesh.ages": set(),
    "mesh.choice": {"mesh.errors", "mesh.names"},
    "mesh.steps": set(),
    "mesh.errors": set(),
    "mesh.clock": set(),
    "mesh.scope": set(),
    "mesh.signals": set(),
    "mesh.stats": set(),
    "mesh": {"mesh.client", "mesh.publication", "mesh.recordings", "mesh.errors", "mesh.frame"},
}

# A bench sets the bare library beside ours.
FLOORS = {"mesh.bench"}

# One library, one seam. `registry` speaks a protocol of its own, so zmq and msgpack appear there, too.
SEAMS: dict[str, set[str]] = {
    "zmq": {"mesh.transport", "mesh.delivery", "mesh.control", "mesh.registry", *FLOORS},
    "msgpack": {"mesh.wire", "mesh.registry"},
    "simplejpeg": {"mesh.codec", *FLOORS},
    "av": {"nodes.capture.sources", "mesh.recordings.export", *FLOORS},
    "sqlite3": {
        "mesh.database",
        "mesh.registry",
        "mesh.delivery.spool",
        "mesh.recordings.index",
        "mesh.recordings.known",
        "mesh.recordings.kept",
        "mesh.recordings.catalog",
        "mesh.recordings.opening",
        "nodes.collect.forwarding.cursor",
    },
    "tomlkit": {"mesh.registry"},
    "yaml": {"mesh.importing"},
    "typer": {"mesh.cli"},
    "rich": {"mesh.cli", "mesh.top.screen"},
    "textual": {"mesh.top.screen"},
    "prometheus_client": {"nodes.metrics"},
    "paho": {"nodes.collect.forwarding.mqtt_session"},
    "flask": {"mesh.bench.rivals"},
    "requests": {"mesh.bench.rivals", "mesh.registry.etcd_members"},
    "etcd3gw": {"mesh.registry.etcd_members"},
    "redis": {"mesh.bench.rivals"},
    "imagezmq": {"mesh.bench.rivals"},
    "subprocess": {
        "mesh.bench.children",
        "mesh.demo.fleet",
        "mesh.site.child",
        "mesh.site.trial",
        "mesh.doctor.aside",
        "nodes.capture.sources.opencv",
    },
}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = str(node.module)
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield full if (ROOT / full.replace(".", "/")).with_suffix(".py").exists() else module


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def allowed(module: str) -> set[str]:
    layer = next(layer for layer in LAYERS if within(module, layer))
    return {layer, *LAYERS[layer]}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_follow_the_arrows(path: Path) -> None:
    module = module_of(path)
    ours = [name for name in imported(path) if within(name, "mesh") or within(name, "nodes")]
    may = allowed(module)
    wrong = [name for name in ours if not any(within(name, package) for package in may)]
    assert not wrong, f"{module} may import {may}, not {wrong}"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_each_library_is_imported_in_its_seam_only(path: Path) -> None:
    module = module_of(path)
    for name in imported(path):
        seam = SEAMS.get(name.split(".")[0])
        assert seam is None or any(within(module, place) for place in seam), f"{module} imports {name}"


@pytest.mark.parametrize("kind", ["capture", "process", "collect"])
def test_the_kinds_of_node_do_not_know_one_another(kind: str) -> None:
    others = {"capture", "process", "collect"} - {kind}
    for path in (ROOT / "nodes" / kind).glob("**/*.py"):
        for name in imported(path):
            assert not any(within(name, f"nodes.{other}") for other in others), f"{path} imports {name}"


def test_every_file_is_of_a_readable_length() -> None:
    long = {module_of(path): path.read_text().count("\n") for path in FILES}
    assert not {module: lines for module, lines in long.items() if lines > 420}


def test_no_daemon_threads_no_sleeps_no_pickles() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                daemonic = [k for k in node.keywords if k.arg == "daemon" and ast.unparse(k.value) != "False"]
                assert called != "time.sleep", f"{path}:{node.lineno}"
                assert not daemonic, f"{path}:{node.lineno}"
        assert "pickle" not in set(imported(path)), path
