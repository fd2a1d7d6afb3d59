"""What `mesh doctor` finds out: facts that are gathered once, and checks that judge them and do nothing else.

gather       everything that is looked at, each wait with a time limit
examine      the checks, in order
findings     what a check found, and what to do
site         what stands in the registry
starting     how what is missing gets to run again, where a site's file has it
file, versions, registry, nodes, reach, clocks, keys, disk, permissions, cameras, ledger,
             forward, resources: a check each
aside, probe what can hang, asked in a process of its own
knock, asking many connections at once, and many nodes
"""

from mesh.doctor.examine import CHECKS, Check, examine
from mesh.doctor.file import Part, Process, UpSeen, Written
from mesh.doctor.findings import Finding, Level, verdict, worst
from mesh.doctor.gather import Asked, Facts, gather
from mesh.doctor.resources import Pointed

__all__ = [
    "CHECKS",
    "Asked",
    "Check",
    "Facts",
    "Finding",
    "Level",
    "Part",
    "Pointed",
    "Process",
    "UpSeen",
    "Written",
    "examine",
    "gather",
    "verdict",
    "worst",
]
