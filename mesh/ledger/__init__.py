"""The ledger of the whole mesh: every captured frame is in one place. A pure sum of what nodes report.

summary   what `mesh stats` says of each camera
groups    which reports belong to one group, and what each group is offered by those before it
members   a node's report on a stream, how that node is now, and who took whose place
upstream  what the publishers of a stream know of it
spans     what the members of a group have taken in: once, several times, or not at all
frames    a group's share of a stream's frames
results   what became of the results that it made of them
"""

from mesh.ledger.summary import CameraSummary, GroupSummary, NodeSummary, Summary, summarise

__all__ = ["CameraSummary", "GroupSummary", "NodeSummary", "Summary", "summarise"]
