"""At-least-once delivery of results: `Sender` on process nodes, `Receiver` on collectors."""

from mesh.delivery.handover import Handover
from mesh.delivery.receiver import Delivery, Receiver
from mesh.delivery.seen import Identity, Seen, identity
from mesh.delivery.sender import Collector, Sender, SentCount
from mesh.delivery.window import GiveUp

__all__ = [
    "Collector",
    "Delivery",
    "GiveUp",
    "Handover",
    "Identity",
    "Receiver",
    "Seen",
    "Sender",
    "SentCount",
    "identity",
]
