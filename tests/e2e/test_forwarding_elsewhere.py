"""A collector that forwards to a broker and to a web server at once, with real processes."""

import json
import secrets
from base64 import b64encode
from pathlib import Path

import pytest

from tests.e2e.site import Site
from tests.support.hooks import Hooks
from tests.support.mosquitto import Listener, Mosquitto, let_in, require_mosquitto

STAGE = "passthrough"

pytestmark = pytest.mark.timeout(300)


def test_a_broker_and_a_web_server_get_all_that_is_recorded(tmp_path: Path) -> None:
    require_mosquitto()
    hook_secret = f"whsec_{b64encode(secrets.token_bytes(24)).decode()}"
    file = tmp_path / "secrets.env"
    file.write_text(f"BROKER_PASSWORD=open@sesame\nHOOK_SECRET={hook_secret}\n")
    file.chmod(0o600)
    broker = Mosquitto(tmp_path, f"password_file {tmp_path}/users")  # the listener needs none
    let_in(tmp_path / "users", "edge", "open@sesame")
    with broker, Listener(broker.port, "site/#"):
        broker.save()  # who listens, and is to get what comes before they are back
    with Site(tmp_path / "edge", lasting=True) as edge, Hooks() as hooks:
        to = (
            broker.url("/site", user="edge:{BROKER_PASSWORD}@"),
            hooks.url("/hook/s3cret?secret={HOOK_SECRET}"),
        )
        options = [word for url in to for word in ("--forward", url)]
        collector = edge.collect(*options, "--secrets", file)
        edge.node("process", STAGE, "--policy", "fifo")
        edge.wait_nodes("collect", "process")
        capture = edge.capture("door=synthetic:?size=160x120&frames=40", options=("--pace", "max"))
        edge.wait_settled("door")
        with broker, Listener(broker.port, "site/#") as listener:
            seqs = {line["seq"] for line in edge.lines("door", STAGE)}
            edge.wait_for(
                lambda: {json.loads(each.payload)["seq"] for each in listener.heard(STAGE)} == seqs,
                "the broker has all",
            )
            edge.wait_for(
                lambda: {n for h in hooks.taken for n in h.sequences} == seqs, "the web server has all"
            )
            assert all("webhook-signature" in hook.headers for hook in hooks.all)
        status = edge.run("ctl", "collect", "status", "--json", "--timeout", 30)
        assert (capture.wait(), collector.stop()) == (0, 0)
        for told in (status.out, collector.log):
            assert not any(word in told for word in ("sesame", "whsec", "s3cret"))
