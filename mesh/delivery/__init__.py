"""At-least-once delivery of results: `Sender` on process nodes, `Receiver` on collectors."""

from mesh.delivery.receiver import Delivery, Receiver, Seen
from mesh.delivery.sender import Collector, Sender, SentCount
from mesh.delivery.window import GiveUp

__all__ = ["Collector", "Delivery", "GiveUp", "Receiver", "Seen", "Sender", "SentCount"]
