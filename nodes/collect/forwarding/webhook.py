"""Carries recorded frames to a web server, as signed webhooks; `docs/forwarding.md` tells headers and fields.

Rules kept here: frames that wait go together, one request at a time, in order; a request is tried again with
its own id until it is answered for good, after pauses that grow, and never sooner than the other end asked;
what is too large goes in halves; what is refused for good is counted.
"""

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException

from mesh.backoff import Backoff
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.frame import Frame
from mesh.presence import this_version
from mesh.scope import Scope
from nodes.collect.forwarding.address import Address
from nodes.collect.forwarding.carrier import Done
from nodes.collect.forwarding.endpoint import endpoint_of
from nodes.collect.forwarding.message import batch, message
from nodes.collect.forwarding.outbox import Outbox, Parcel
from nodes.collect.forwarding.posting import Poster
from nodes.collect.forwarding.reasons import reason
from nodes.collect.forwarding.signing import headers
from nodes.collect.forwarding.verdict import Answer, Verdict, judge, retry_after_s, said
from nodes.connection import Ended

MOST_FRAMES = 100  # in a request
MOST_BYTES = 512 << 10  # of them; one frame that is larger goes alone
RETRY_S, RETRY_MOST_S = 1.0, 60.0
IDLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request, the same at each try."""

    id: str
    body: bytes
    parcels: Sequence[Parcel[bytes]]

    @property
    def numbers(self) -> list[int]:
        return [parcel.number for parcel in self.parcels]


class WebhookCarrier:
    """A `Carrier` to the server of `address`, on one thread of `scope`. Raises `ConfigError`."""

    def __init__(self, scope: Scope, address: Address, done: Done, clock: Clock = SYSTEM_CLOCK) -> None:
        self._scope, self._clock = scope, clock
        self._endpoint = endpoint_of(address)
        self._poster = Poster(self._endpoint, clock, scope.stopping.is_set)
        self._came = threading.Event()
        self._outbox: Outbox[bytes] = Outbox(
            self._endpoint.shown, self._formed, done, self._came.set, clock, self._endpoint.only_detections
        )
        self._headers = {"Content-Type": "application/json", "User-Agent": f"framemesh/{this_version()}"}
        self._most_bytes = MOST_BYTES
        self._backoff = Backoff(RETRY_S, RETRY_MOST_S)
        self._why = ""
        self._has_taken = False
        scope.on_stop(self._came.set)
        scope.spawn(f"webhook {self._endpoint.host}", self._run)

    def __repr__(self) -> str:
        return f"<WebhookCarrier {self._outbox!r} {self._why or 'well'}>"

    @property
    def why(self) -> str:
        return self._why

    def stats(self) -> dict[str, int]:
        return self._outbox.stats()

    def offer(self, number: int, frame: Frame) -> bool:
        return self._outbox.offer(number, frame)

    def _formed(self, frame: Frame) -> tuple[int, bytes]:
        form = message(frame, self._outbox.picture(frame) if self._endpoint.jpeg else None)
        return len(form), form

    def _run(self) -> None:
        try:
            while not self._scope.stopping.is_set():
                self._came.clear()
                if parcels := self._waiting():
                    self._deliver(parcels)
                else:
                    self._clock.wait(self._came, IDLE_S)
        except Ended:
            pass  # in the middle of a request; its frames are not done
        finally:
            self._poster.close()

    def _waiting(self) -> list[Parcel[bytes]]:
        """What goes together next."""
        parcels: list[Parcel[bytes]] = []
        left: int | None = None  # the first one goes whatever its size
        while len(parcels) < MOST_FRAMES and (parcel := self._outbox.next(left)) is not None:
            parcels.append(parcel)
            left = (self._most_bytes if left is None else left) - parcel.size
        return parcels

    def _deliver(self, parcels: Sequence[Parcel[bytes]]) -> None:
        """Have these answered for good. Raises `Ended`."""
        now_ns = self._clock.wall_ns()
        body = batch((parcel.content for parcel in parcels), now_ns)
        webhook = Webhook(f"msg_{secrets.token_hex(16)}", body, parcels)
        answer = self._insist(webhook)
        verdict = self._judge(answer)
        if verdict is Verdict.DONE:
            self._has_taken = True
            self._outbox.finish(webhook.numbers)
        elif verdict is Verdict.SMALLER and len(parcels) > 1:
            self._most_bytes = min(self._most_bytes, len(body) // 2)
            self._deliver(parcels[: len(parcels) // 2])
            self._deliver(parcels[len(parcels) // 2 :])
        else:
            self._outbox.refuse(webhook.numbers, said(answer.status, verdict))

    def _insist(self, webhook: Webhook) -> Answer:
        """Send it until it is answered for good. Raises `Ended`."""
        while True:
            answer = self._try(webhook)
            if answer is not None and self._judge(answer) is not Verdict.AGAIN:
                self._why = ""
                self._backoff.reset()
                return answer
            asked = retry_after_s(answer, self._clock.wall_ns()) if answer is not None else 0.0
            if self._clock.wait(self._scope.stopping, max(self._backoff.next(), asked)):
                raise Ended
            self._outbox.resent(len(webhook.parcels))

    def _try(self, webhook: Webhook) -> Answer | None:
        """Send it once; None where nothing was answered. Raises `Ended`."""
        seconds = self._clock.wall_ns() // 1_000_000_000
        signed = headers(self._endpoint.keys, webhook.id, seconds, webhook.body)
        try:
            answer = self._poster.post(self._headers | signed, webhook.body)
        except OSError as error:
            self._fails(reason(error))
        except HTTPException as error:
            self._fails(str(error) if str(error).startswith("the proxy") else "what answers speaks no HTTP")
        else:
            if (verdict := self._judge(answer)) is Verdict.AGAIN:
                self._fails(said(answer.status, verdict))
            return answer
        return None

    def _judge(self, answer: Answer) -> Verdict:
        return judge(answer.status, has_taken=self._has_taken)

    def _fails(self, why: str) -> None:
        self._why = f"{self._endpoint.shown}: {why}"
