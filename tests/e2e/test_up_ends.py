"""`mesh up`: what it says as JSON, what it refuses while it runs, and how it ends when it is told twice."""

import json
import os
import signal
import socket
import time
from pathlib import Path

from mesh.control import ask_at
from mesh.ports import free_port
from mesh.signals import TOGETHER_S
from mesh.site.running import running
from mesh.site.up import RELOAD
from mesh.wire import Reply
from tests.e2e.test_up import RunningSite
from tests.support.processes import Processes
from tests.support.waiting import WITHIN_S, wait_for

SMALL = """
[site]
name = "shop"
[registry]
port = {port}
[cameras.door]
url = "synthetic:?size=160x120&fps=5"
[capture.cameras]
drain = 60  # one that is held has longer until it is killed
"""


def test_as_json_with_a_port_that_is_taken_another_name_and_two_interrupts(tmp_path: Path) -> None:
    with Processes(tmp_path / "processes") as processes:
        site = RunningSite(processes, tmp_path, SMALL, "--log-json", "--log-level", "debug")
        try:
            site.wait_log("all is started: 1 node, 1 camera configured")
            every_process_logs_as_it_was_told(site)
            a_port_that_is_taken_is_refused(site)
            another_name_is_refused(site)
            a_change_is_taken_back_while_what_it_ends_still_runs(site)
            told_twice_it_ends_at_once_and_reads_nothing_meanwhile(site)
        finally:
            site.mesh.close()
        every_line_is_an_object(site)


def messages(site: RunningSite, what: str) -> list[str]:
    lines = [line for line in site.up.log.splitlines(keepends=True) if line.endswith("\n")]
    return [message for line in lines if what in (message := json.loads(line)["message"])]


def pid(site: RunningSite, name: str) -> int:
    (told,) = messages(site, f"{name} is started (pid ")  # and never again
    return int(told.rpartition(" ")[2].rstrip(")"))


def reload(site: RunningSite) -> Reply:
    """What `mesh reload` is answered."""
    (found,) = running(site.folder / ".mesh", site.file)
    reply = ask_at(found.endpoint, RELOAD, timeout=WITHIN_S)
    assert reply is not None
    return reply


def every_process_logs_as_it_was_told(site: RunningSite) -> None:
    for name in ("registry", "capture-cameras"):
        command = Path(f"/proc/{pid(site, name)}/cmdline").read_bytes().split(b"\0")
        assert command[-4:-1] == [b"--log-level", b"debug", b"--log-json"]


def a_port_that_is_taken_is_refused(site: RunningSite) -> None:
    """The file is mended, and all has gone on."""
    good, port = site.file.read_text(), free_port()
    site.edit(f"port = {site.port}", f"port = {port}")
    with socket.create_server(("127.0.0.1", port + 1)):
        reply = reload(site)
    assert not reply.ok
    assert f"the registry cannot listen at 127.0.0.1:{port + 1}: Address already in use" in reply.value
    site.file.write_text(good)
    reply = reload(site)
    assert (reply.ok, reply.value) == (True, {"changes": "nothing"})
    assert len(messages(site, " is started (pid ")) == 2


def another_name_is_refused(site: RunningSite) -> None:
    site.edit('name = "shop"', 'name = "lab"')
    done = site.run("reload")
    assert done.code == 2
    assert "the site's name cannot change while it runs: stop it, and start it anew" in done.last_line
    site.edit('name = "lab"', 'name = "shop"')
    assert reload(site).ok


def a_change_is_taken_back_while_what_it_ends_still_runs(site: RunningSite) -> None:
    """A node that is held has not ended in between: the registry still waits for it, on its port."""
    good, changes = site.file.read_text(), {"changes": "restart capture-cameras, registry"}
    os.kill(pid(site, "capture-cameras"), signal.SIGSTOP)
    site.edit(f"port = {site.port}", f"port = {free_port()}")
    reply = reload(site)
    assert (reply.ok, reply.value) == (True, changes)
    site.file.write_text(good)
    reply = reload(site)
    assert (reply.ok, reply.value) == (True, changes)
    assert not messages(site, "has ended")


def told_twice_it_ends_at_once_and_reads_nothing_meanwhile(site: RunningSite) -> None:
    """Two signals that come together are one."""
    site.up.send_together(signal.SIGINT, signal.SIGTERM)
    site.wait_log("stopping: capture first, the registry last")
    said = time.monotonic()
    done = site.run("reload")
    assert done.code == 1
    where = f"{site.file} (process {site.up.popen.pid})"
    assert done.last_line == f"mesh: mesh up {where} is stopping: start it again once it has ended"
    wait_for(lambda: time.monotonic() - said > TOGETHER_S, "what comes now is another one")
    assert not messages(site, "ended")
    site.up.send(signal.SIGINT)
    assert site.up.wait() in (0, 130)
    assert sorted(messages(site, "ended")) == [
        "capture-cameras has ended with signal 9",
        "registry has ended with signal 9",
    ]


def every_line_is_an_object(site: RunningSite) -> None:
    lines = [json.loads(line) for line in site.up.log.splitlines()]
    assert all(line["process"] and line["message"] for line in lines)
    assert {line["process"] for line in lines} == {"up", "registry", "capture-cameras"}
