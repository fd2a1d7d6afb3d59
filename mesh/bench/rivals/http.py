"""HTTP: each picture as base64 in a form, posted to a Flask server, which decodes it and answers."""

import base64
import logging
import threading
from typing import Any

import cv2
import numpy as np

from mesh.bench.child import Channel, Meter, Values
from mesh.bench.children import BenchError, Children
from mesh.bench.flow import Flow, touch
from mesh.bench.pictures import Pictures
from mesh.bench.rivals.asking import WITHIN_S, ask_for, encoded, flow_of_answers
from mesh.bench.rivals.packages import without_packages

WHAT = "base64 JPEG in an HTTP form to Flask"


def missing() -> str:
    return without_packages("flask", "requests")


def link(pictures: Pictures, seconds: float) -> Flow:
    with Children() as children:
        server = children.start(serve)
        url = server.hear()["url"]
        sender = children.start(send, url=url, pictures=pictures.as_options(), seconds=seconds)
        sent = sender.result(seconds + WITHIN_S)
        server.tell(end=True)
        return flow_of_answers(sent, server.result())


def serve(channel: Channel) -> Values:
    """A role: a Flask server, run as `app.run(threaded=True)` runs it, until told to end."""
    from flask import Flask, jsonify, request
    from werkzeug.serving import make_server

    app, meter, taken = Flask("bench"), Meter(), 0

    def frame() -> Any:
        nonlocal taken
        data = np.frombuffer(base64.b64decode(request.form["image"]), np.uint8)
        touch(cv2.imdecode(data, cv2.IMREAD_COLOR))
        taken += 1
        return jsonify(ok=True)

    app.add_url_rule("/frame", view_func=frame, methods=["POST"])
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        channel.say(url=f"http://127.0.0.1:{server.port}/frame")
        channel.hear()
        return {"frames": taken, **meter.read()}
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def send(channel: Channel, *, url: str, pictures: dict[str, Any], seconds: float) -> Values:
    """A role: post pictures, one after the other."""
    import requests

    images = Pictures.of(pictures).bgr()

    def one(seq: int) -> None:
        form = {"image": base64.b64encode(encoded(images[seq % len(images)])).decode()}
        if not requests.post(url, data=form, timeout=WITHIN_S).ok:
            raise BenchError("the Flask server refused a picture")

    return ask_for(one, seconds)
