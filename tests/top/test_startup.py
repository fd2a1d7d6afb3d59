"""What one command needs, others do not load."""

import subprocess
import sys

LOADED = "import sys, mesh.cli.main, nodes.node; print(*{'textual', 'prometheus_client'} & set(sys.modules))"


def test_other_commands_and_nodes_load_neither_textual_nor_prometheus_client() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
