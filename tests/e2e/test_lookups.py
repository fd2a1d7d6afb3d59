"""A host's name is looked up for a moment only, where no server of names answers: no node could stop else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT

# On a host of its own whose server of names takes what it is asked, and says nothing.
SCRIPT = """
import contextlib, select, socket, sys
from mesh.cli.main import main

names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(("127.0.0.1", 53))
sys.argv = ["mesh", "version"]
with contextlib.suppress(SystemExit):
    main()
with contextlib.suppress(socket.gaierror):
    socket.getaddrinfo("broker.example", 1883, socket.AF_INET)
asked = 0
while select.select([names], [], [], 0)[0]:
    asked += b"broker" in names.recv(512)
print(asked)
"""


@pytest.mark.parametrize(("options", "times"), [(None, 1), ("timeout:1 attempts:2", 2)])
def test_a_server_of_names_that_is_silent_is_asked_once(
    tmp_path: Path, options: str | None, times: int
) -> None:
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("a network of its own takes root and unshare")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    alone = f"ip link set lo up && mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && exec"
    env = {name: text for name, text in os.environ.items() if name != "RES_OPTIONS"}
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", f"{alone} {sys.executable} {tmp_path}/script.py"],
        capture_output=True,
        text=True,
        check=False,
        env=env | {"PYTHONPATH": str(ROOT)} | ({"RES_OPTIONS": options} if options else {}),
    )
    if done.returncode and "script.py" not in done.stderr:
        pytest.skip(f"no network of its own here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) == times
