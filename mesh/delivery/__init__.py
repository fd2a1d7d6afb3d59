"""At-least-once delivery of results: `Sender` on process nodes, `Receiver` on collectors."""

from mesh.delivery.counts import SentCount
from mesh.delivery.receiver import Delivery, Receiver, Seen
from mesh.delivery.result import GiveUp
from mesh.delivery.sender import MAX_BYTES, Collector, Sender
from mesh.delivery.spool import Spool

__all__ = ["MAX_BYTES", "Collector", "Delivery", "GiveUp", "Receiver", "Seen", "Sender", "SentCount", "Spool"]
