"""Who works on what: pure functions that every member of the mesh computes alike from the same view.

`place` gives items (cameras, or partitions of them) to members; `weights` says how much each shall have;
`rendezvous` is the plain form for a single key.
"""

from mesh.placement.place import SLACK, Item, Member, place
from mesh.placement.rendezvous import rendezvous
from mesh.placement.weights import CapacityReport, weights

__all__ = ["SLACK", "CapacityReport", "Item", "Member", "place", "rendezvous", "weights"]
