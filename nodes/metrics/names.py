"""Every metric that a node or a registry tells, as a table of data. docs/metrics.md has the same for people.

Rules kept here: names are Prometheus's own way: a prefix, base units, `_total` on what is counted; no label
has values without end: no boot, no frame, no reason in words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is: its kind, the names of its labels, and what it says."""

    kind: Kind
    labels: tuple[str, ...]
    help: str


_TAKEN = ("camera", "stage", "group")
_MADE = ("camera", "stage", "group")

METRICS: Mapping[str, Metric] = {
    "mesh_node_info": Metric(Kind.INFO, ("node", "kind", "group", "host", "version"), "Which node this is."),
    "mesh_node_state": Metric(Kind.GAUGE, ("state",), "1 for the state that the node is in, 0 for others."),
    "mesh_node_registry_up": Metric(
        Kind.GAUGE, (), "Whether the registry answered the last time that it was asked."
    ),
    "mesh_node_clock_offset_seconds": Metric(
        Kind.GAUGE, (), "The node's wall clock less the registry's, where it is known."
    ),
    "mesh_node_clock_error_seconds": Metric(Kind.GAUGE, (), "The offset is that, give or take so much."),
    "mesh_node_events_total": Metric(
        Kind.COUNTER, ("event",), "What belongs to no camera: wire errors, frames sent by view, requests."
    ),
    "mesh_camera_up": Metric(
        Kind.GAUGE, ("camera",), "Whether frames of a camera come; none for one that has ended."
    ),
    "mesh_camera_frames_captured_total": Metric(Kind.COUNTER, ("camera",), "Frames captured."),
    "mesh_camera_frames_dropped_total": Metric(
        Kind.COUNTER, ("camera", "cause"), "Pictures that did not become frames."
    ),
    "mesh_group_frames_offered_total": Metric(
        Kind.COUNTER, _TAKEN, "Frames of a stage that fell to this member of a group."
    ),
    "mesh_group_frames_processed_total": Metric(Kind.COUNTER, _TAKEN, "Those that were worked on."),
    "mesh_group_frames_dropped_total": Metric(
        Kind.COUNTER, (*_TAKEN, "cause"), "Those that were dropped, by cause."
    ),
    "mesh_group_frames_lost_total": Metric(Kind.COUNTER, _TAKEN, "Those that the link lost."),
    "mesh_group_frames_duplicate_total": Metric(Kind.COUNTER, _TAKEN, "Those that came again."),
    "mesh_group_frames_in_flight": Metric(Kind.GAUGE, _TAKEN, "Those that wait or are being worked on."),
    "mesh_group_frame_age_seconds": Metric(
        Kind.HISTOGRAM,
        ("stage", "group"),
        "How old frames were when their results had gone out, by this node's clock.",
    ),
    "mesh_results_total": Metric(Kind.COUNTER, _MADE, "Results made."),
    "mesh_results_delivered_total": Metric(Kind.COUNTER, _MADE, "Those that a collector acknowledged."),
    "mesh_results_undelivered_total": Metric(
        Kind.COUNTER, (*_MADE, "cause"), "Those that were given up, by cause."
    ),
    "mesh_results_waiting": Metric(Kind.GAUGE, _MADE, "Those that wait for a collector."),
    "mesh_results_spooled": Metric(Kind.GAUGE, _MADE, "Those of them that are safe on this node's disk."),
    "mesh_recorded_frames_total": Metric(
        Kind.COUNTER, ("camera", "stage"), "Frames that this run has made safe on its disk."
    ),
    "mesh_recorded_duplicates_total": Metric(
        Kind.COUNTER, ("camera", "stage"), "Results that came again and were told apart."
    ),
    "mesh_recorded_late_total": Metric(
        Kind.COUNTER, ("camera", "stage"), "Frames that were recorded behind later ones."
    ),
    "mesh_recorded_skipped_total": Metric(
        Kind.COUNTER, ("camera", "stage"), "Results that were left out by choice."
    ),
    "mesh_recorded_held": Metric(
        Kind.GAUGE, ("camera", "stage"), "Results that are held, and recorded when something is found soon."
    ),
    "mesh_recorded_frame_age_seconds": Metric(
        Kind.HISTOGRAM,
        ("stage",),
        "How old frames were when they were safe on the disk, by this node's clock.",
    ),
    "mesh_forward_frames_total": Metric(
        Kind.COUNTER, ("destination",), "Recorded frames that a destination has for good."
    ),
    "mesh_forward_frames_dropped_total": Metric(
        Kind.COUNTER, ("destination", "cause"), "Recorded frames that did not get there, by cause."
    ),
    "mesh_forward_waiting": Metric(Kind.GAUGE, ("destination",), "Recorded frames that are to go there."),
    "mesh_forward_up": Metric(
        Kind.GAUGE, ("destination",), "Whether nothing is wrong with the way there, as far as is known."
    ),
    "mesh_registry_info": Metric(Kind.INFO, ("version",), "A registry's server."),
    "mesh_registry_requests_total": Metric(
        Kind.COUNTER, ("outcome",), "What clients asked for, by what became of it."
    ),
}
