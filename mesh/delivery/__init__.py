"""At-least-once delivery of results: `Sender` on process nodes, `Receiver` on collectors."""

from mesh.delivery.counts import SentCount
from mesh.delivery.handover import Handover
from mesh.delivery.receiver import Delivery, Receiver
from mesh.delivery.result import GiveUp
from mesh.delivery.seen import Identity, Seen, identity
from mesh.delivery.sender import MAX_BYTES, Collector, Sender
from mesh.delivery.spool import Spool

__all__ = [
    "MAX_BYTES",
    "Collector",
    "Delivery",
    "GiveUp",
    "Handover",
    "Identity",
    "Receiver",
    "Seen",
    "Sender",
    "SentCount",
    "Spool",
    "identity",
]
