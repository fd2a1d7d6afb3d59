"""Sockets that carry frames: `Publisher` on one side, `Subscriber` on the other."""

from mesh.transport.publisher import Publisher
from mesh.transport.subscriber import Subscriber

__all__ = ["Publisher", "Subscriber"]
