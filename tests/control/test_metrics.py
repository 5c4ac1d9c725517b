"""Our histograms and counters say what prometheus_client's would."""

from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client import Counter as ReferenceCounter
from prometheus_client import Histogram as Reference

from fedstate.control.metrics import Counter, Histogram

BUCKETS = (1e-8, 0.005, 1, 2.5)


@pytest.fixture
def ours() -> Iterator[Histogram]:
    histogram = Histogram("some_seconds", "How long.", ["name", "controller"], buckets=BUCKETS)
    yield histogram
    REGISTRY.unregister(histogram)


def text(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "some_" in line and "_created" not in line]


def test_observations_are_exported_as_by_prometheus_client(ours: Histogram) -> None:
    registry = CollectorRegistry()
    reference = Reference("some_seconds", "How long.", ["name", "controller"], buckets=BUCKETS, registry=registry)
    for seconds in (0.0, 0.005, 0.0051, 2, 3, 400):
        ours.labels("a", "b").observe(seconds)
        reference.labels("a", "b").observe(seconds)
    ours.labels("a", "c")
    reference.labels("a", "c")
    assert text(REGISTRY) == text(registry)


def test_counts_are_exported_as_by_prometheus_client() -> None:
    counter = Counter("some_total", "How many.", ["name"])
    registry = CollectorRegistry()
    reference = ReferenceCounter("some_total", "How many.", ["name"], registry=registry)
    try:
        for one in (counter, reference):
            one.labels("a").inc()
            one.labels("a").inc()
            one.labels("b")
        assert text(REGISTRY) == text(registry)
    finally:
        REGISTRY.unregister(counter)


def test_a_name_that_is_taken_is_refused(ours: Histogram) -> None:
    with pytest.raises(ValueError, match="some_seconds"):
        Histogram("some_seconds", "Again.", [], buckets=BUCKETS)
