"""One connection to an MQTT broker, from its CONNECT on: paho's protocol over a connection of ours.

Rules kept here: this is the only place that knows paho; one thread uses a `Session`; no wait is longer than
it is told, or than `ended()` allows; what the broker may send is bounded, since it is asked for nothing but
acknowledgements; a message is acknowledged once, by its number in this session, or the session breaks.

Of paho we use the client of one connection: its packets, keepalive and reason codes. Its reconnecting is not
used: it sends again more at once than a broker may take, and some of it twice; nor are its threads, which no
`Scope` could stop. `_create_socket` is where it would connect by itself, for as long as the system lets it.
"""

import contextlib
import select
import struct
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mesh.clock import Clock
from nodes.collect.forwarding.broker import Acknowledged, Broken, BrokenOff, Broker, OldBroker, Publication
from nodes.connection import Connection, Patience

KEEPALIVE_S = 30
ACKNOWLEDGED_S = 60.0  # within which a broker acknowledges what it is sent
TURN_S = 1.0
ALLOWED_BYTES = 1 << 20  # that a broker may send, besides:
ALLOWED_BYTES_A_MESSAGE = 4096  # for each one that it acknowledges
MOST_ON_ITS_WAY = 65_535
NOT_SAID = 1 << 28  # bytes: what the protocol allows
ONLINE, OFFLINE = b"online", b"offline"

UNSUPPORTED_VERSION, BAD_PASSWORD, NOT_AUTHORIZED, QUOTA_EXCEEDED = 0x84, 0x86, 0x87, 0x97
WITH_WILL = 0x04
# Malformed, protocol error, topic name invalid, packet too large, payload format invalid.
OF_A_MESSAGE = frozenset((0x81, 0x82, 0x90, 0x95, 0x99))

# Mosquitto says of a message what the standard has it say of a connection; paho would break off.
_TOO_LARGE = {"Packet too large": [PacketTypes.PUBACK, PacketTypes.CONNACK, PacketTypes.DISCONNECT]}
ReasonCode.names = MappingProxyType({**ReasonCode.names, 0x95: _TOO_LARGE})

_GARBLED = (ValueError, LookupError, TypeError, struct.error, MQTTException)


class Session:
    """Connected on return, though not yet welcomed: see `is_open`. Raises what `Connection` does."""

    def __init__(self, broker: Broker, patience: Patience, version_5: bool) -> None:
        self._broker, self._version_5 = broker, version_5
        self._clock: Clock = patience.clock
        self._welcome_by = patience.deadline
        self._link = _Link(Connection(broker.host, broker.port, broker.tls, patience))
        self._unanswered: OrderedDict[int, float] = OrderedDict()
        self._answers: list[Acknowledged] = []
        self._ending: Broken | None = None  # as the broker said it
        self._limits = _properties(PacketTypes.CONNACK)
        self.is_open = False
        self._client = _client(broker, self._link, version_5)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.on_disconnect = self._on_disconnect
        try:
            self._checked(self._client.connect, broker.host, broker.port, KEEPALIVE_S)
        except BaseException:
            self._link.close()
            raise

    def __repr__(self) -> str:
        return f"<Session with {self._broker.shown}, {len(self._unanswered)} unanswered>"

    @property
    def most_bytes(self) -> int:
        """Of a packet that the broker takes."""
        return int(getattr(self._limits, "MaximumPacketSize", NOT_SAID))

    @property
    def room(self) -> int:
        """How many messages more may be on their way."""
        most = int(getattr(self._limits, "ReceiveMaximum", MOST_ON_ITS_WAY))
        return most - len(self._unanswered) if self.is_open else 0

    def publish(self, message: Publication) -> int:
        """Send a message; the number by which it is acknowledged. Raises `Broken`."""
        properties = None
        if self._version_5:
            properties = _properties(PacketTypes.PUBLISH)
            properties.ContentType = message.content_type
            properties.UserProperty = list(message.about)
        return self._publish(message.topic, message.payload, self._broker.qos, False, properties)

    def turn(self, waker: int) -> list[Acknowledged]:
        """Wait for the broker, for room to send or for `waker`, a moment at most, and go on. What was
        acknowledged. Raises `Broken`."""
        self._await(waker)
        self._checked(self._client.loop_read)
        if self._client.want_write():
            self._checked(self._client.loop_write)
        self._checked(self._client.loop_misc)
        self._check_times()
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        """End it. The broker tells others that this end is away: by the will, which it is asked to send."""
        with contextlib.suppress(Broken):
            if self.is_open and self._version_5:
                word = ReasonCode(PacketTypes.DISCONNECT, identifier=WITH_WILL)
                self._checked(self._client.disconnect, word)
                self._client.on_disconnect = None
                self._checked(self._client.loop_write)
        self._link.close()

    def _publish(self, topic: str, payload: bytes, qos: int, retain: bool, properties: Any) -> int:
        info = self._client.publish(topic, payload, qos, retain, properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._broken()
        self._unanswered[info.mid] = self._clock.monotonic()
        return info.mid

    def _await(self, waker: int) -> None:
        if self._link.connection.holds_more:
            return
        poller = select.poll()
        poller.register(waker, select.POLLIN)
        wanted = select.POLLOUT if self._client.want_write() else 0
        poller.register(self._link.fileno(), select.POLLIN | wanted)
        poller.poll(TURN_S * 1000)

    def _check_times(self) -> None:
        now = self._clock.monotonic()
        if not self.is_open and now >= self._welcome_by:
            raise Broken("what answers is no MQTT broker, or one that hangs")
        oldest = next(iter(self._unanswered.values()), now)
        if now - oldest >= ACKNOWLEDGED_S:
            raise Broken(f"the broker acknowledged nothing for {ACKNOWLEDGED_S:g} s")

    def _checked(self, call: Any, *arguments: object) -> None:
        """Call paho. Raises `Broken` where that ends the connection."""
        try:
            code = call(*arguments)
        except OSError as error:
            raise self._broken() from error
        except _GARBLED as error:
            raise BrokenOff("what answers breaks the MQTT protocol") from error
        if code == MQTTErrorCode.MQTT_ERR_PROTOCOL and self._ending is None:
            raise BrokenOff("what answers breaks the MQTT protocol")
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self._client.socket() is None:
            raise self._broken()

    def _broken(self) -> Broken:
        if self._link.flooded:
            return Broken("the broker sends what it was not asked for")
        return self._ending or BrokenOff("the connection was closed")

    def _on_connect(self, client: Client, _: object, __: object, code: ReasonCode, given: Any) -> None:
        if code.value == UNSUPPORTED_VERSION and self._version_5:
            raise OldBroker("the broker knows MQTT 3.1.1 only")
        if code.is_failure:
            self._ending = self._refused(code)
            return
        if getattr(given, "MaximumQoS", 2) < self._broker.qos:
            raise Broken("the broker acknowledges nothing (its highest QoS is 0): write qos=0")
        self._limits, self.is_open = given, True
        self._publish(self._broker.status_topic, ONLINE, self._broker.qos, True, None)

    def _refused(self, code: ReasonCode) -> Broken:
        who = "who gives no user" if self._broker.user is None else f"the user {self._broker.user!r}"
        if code.value in (BAD_PASSWORD, NOT_AUTHORIZED):
            return Broken(f"the broker does not let in {who}: {str(code).lower()}")
        return Broken(f"the broker refuses the connection: {str(code).lower()}")

    def _on_publish(self, client: Client, _: object, mid: int, code: ReasonCode, __: Any) -> None:
        self._unanswered.pop(mid, None)
        self._link.allow(ALLOWED_BYTES_A_MESSAGE)
        refusal = str(code).lower() if code.is_failure else ""
        self._answers.append(Acknowledged(mid, refusal, code.value in (NOT_AUTHORIZED, QUOTA_EXCEEDED)))

    def _on_disconnect(self, client: Client, _: object, flags: Any, code: ReasonCode, __: Any) -> None:
        if flags.is_disconnect_packet_from_server and code.is_failure:
            kind = BrokenOff if code.value in OF_A_MESSAGE else Broken
            self._ending = kind(f"the broker ends the connection: {str(code).lower()}")


class _Link:
    """The socket that paho reads and writes, of which it takes no more than is allowed."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.flooded = False
        self._allowed = ALLOWED_BYTES

    def allow(self, more: int) -> None:
        self._allowed = min(self._allowed + more, ALLOWED_BYTES)

    def recv(self, size: int) -> bytes:
        data = self.connection.socket.recv(min(size, ALLOWED_BYTES))
        self._allowed -= len(data)
        if self._allowed < 0:
            self.flooded = True
            raise ConnectionAbortedError
        return data

    def send(self, data: bytes | bytearray) -> int:
        return self.connection.socket.send(data)

    def fileno(self) -> int:
        return self.connection.fileno()

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def close(self) -> None:
        self.connection.close()


class _Client(Client):
    """Paho's client, on a connection that is open."""

    def __init__(self, link: _Link, version: MQTTProtocolVersion, **options: Any) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, protocol=version, reconnect_on_failure=False, **options)
        self._link = link

    def _create_socket(self) -> Any:
        return self._link


def _client(broker: Broker, link: _Link, version_5: bool) -> Client:
    version = MQTTProtocolVersion.MQTTv5 if version_5 else MQTTProtocolVersion.MQTTv311
    client = _Client(link, version, client_id=broker.client)
    client.max_inflight_messages = 0  # its caller bounds that
    client.username_pw_set(broker.user, broker.password)
    client.will_set(broker.status_topic, OFFLINE, broker.qos, retain=True)
    client.on_socket_register_write = _nothing  # it is not to write by itself
    return client


def _properties(of: int) -> Any:
    return Properties(of)  # type: ignore[no-untyped-call]  # paho's


def _nothing(client: Client, _: object, sock: Any) -> None:
    """`want_write` tells it."""
