"""Samples as the text that Prometheus reads: the only place that knows prometheus_client.

Rules kept here: names, kinds and labels are those of the table; which of the two text formats is written, and
whether it is compressed, is what the reader asks for; CPU and memory of the process are prometheus_client's
own metrics, under its own names.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from mesh.ages import BOUNDS_S
from nodes.metrics.names import METRICS, Kind, Metric
from nodes.metrics.samples import Sample, Values
from nodes.metrics.server import App

_BOUNDS = (*map(floatToGoString, BOUNDS_S), "+Inf")


def families(samples: Iterable[Sample]) -> Iterator[Family]:
    """The samples by metric, in the order of the table; metrics without samples are left out."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    for name, metric in METRICS.items():
        if name in by_name:
            yield _family(name, metric, by_name[name])


def _family(name: str, metric: Metric, samples: Iterable[Sample]) -> Family:
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, metric.help, labels=metric.labels)
        for sample in samples:
            histogram.add_metric(sample.labels, _buckets(sample.values), sample.values[0])
        return histogram
    if metric.kind is Kind.INFO:
        info = InfoMetricFamily(name.removesuffix("_info"), metric.help)
        for sample in samples:
            info.add_metric([], dict(zip(metric.labels, sample.labels, strict=True)))
        return info
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(name, metric.help, labels=metric.labels)
    for sample in samples:
        family.add_metric(sample.labels, sample.values[0])
    return family


def _buckets(values: Values) -> list[tuple[str, float]]:
    """How many were not above each bound."""
    return list(zip(_BOUNDS, itertools.accumulate(values[1:]), strict=True))


class _Asked(Collector):
    """Asks for the samples anew each time that somebody reads."""

    def __init__(self, samples: Callable[[], Iterable[Sample]]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Family]:
        yield from families(self._samples())

    def describe(self) -> Iterator[Family]:
        """Nothing: else it would be asked before anybody reads."""
        return iter(())


def exposition(samples: Callable[[], Iterable[Sample]]) -> App:
    """What answers a request with the samples now, and with what this process takes."""
    registry = CollectorRegistry()
    registry.register(_Asked(samples))
    ProcessCollector(registry=registry)
    return make_wsgi_app(registry)
