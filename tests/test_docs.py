"""What the pages say is run, not believed."""

import re
import subprocess
import sys
from pathlib import Path

from mesh.frame import EndOfStream
from mesh.transport import Publisher
from mesh.wire import View
from tests.support.frames import jpeg_frame
from tests.support.waiting import wait_for

ROOT = Path(__file__).parent.parent


def subscriber_of_the_wire_page() -> str:
    page = (ROOT / "docs" / "WIRE.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    return str(code)


def test_the_subscriber_on_the_wire_page_needs_pyzmq_and_msgpack_only_and_is_short() -> None:
    code = subscriber_of_the_wire_page()
    assert set(re.findall(r"^(?:import|from) (.+)$", code, re.MULTILINE)) == {"sys", "msgpack, zmq"}
    assert len(code.strip().splitlines()) <= 14


def test_the_subscriber_on_the_wire_page_reads_a_live_publisher(tmp_path: Path) -> None:
    script = tmp_path / "subscriber.py"
    script.write_text(subscriber_of_the_wire_page())
    publisher = Publisher("pub-1")
    process = subprocess.Popen(
        [sys.executable, str(script), publisher.endpoint, "raw", "door"], stdout=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: publisher.listens(View.FRAME, "raw", "door"), within=60)
        frames = [jpeg_frame(seq) for seq in range(3)]
        for frame in frames:
            publisher.publish(frame)
        publisher.end(EndOfStream("door", 7, 3))
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
        publisher.close(flush=False)
    assert process.returncode == 0
    assert printed.splitlines() == [f"7 {f.seq} 64 48 jpeg {len(f.payload)}" for f in frames]
