"""Every Prometheus metric of the controller machinery, under the names that controller-runtime made known."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import REGISTRY, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

QUEUE_BUCKETS = tuple(1e-8 * 10**power for power in range(12))
_QUEUE = ["name", "controller"]


class Durations:
    """The times of one label set of a Histogram."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds


class Count:
    """The number of one label set of a Counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> None:
        self.value += 1


class Counter(Collector):
    """As prometheus_client's, for one thread: what is counted for every key should cost next to nothing."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._family = (name, documentation)
        self._names = labels
        self._children: dict[tuple[str, ...], Count] = {}
        REGISTRY.register(self)

    def labels(self, *values: str) -> Count:
        return self._children.setdefault(values, Count())

    def describe(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(*self._family, labels=self._names)

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(*self._family, labels=self._names)
        for values, count in tuple(self._children.items()):
            family.add_metric(values, count.value)
        yield family


class Histogram(Collector):
    """As prometheus_client's, for one thread: without its locks an observation costs a tenth, and there are three in a reconcile."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], *, buckets: Sequence[float]) -> None:
        self._family = (name, documentation)
        self._names = labels
        self._bounds = tuple(buckets)
        self._texts = [*map(floatToGoString, self._bounds), "+Inf"]
        self._children: dict[tuple[str, ...], Durations] = {}
        REGISTRY.register(self)

    def labels(self, *values: str) -> Durations:
        return self._children.setdefault(values, Durations(self._bounds))

    def describe(self) -> Iterator[HistogramMetricFamily]:
        yield HistogramMetricFamily(*self._family, labels=self._names)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(*self._family, labels=self._names)
        for values, seen in tuple(self._children.items()):
            family.add_metric(values, list(zip(self._texts, accumulate(seen.counts), strict=True)), seen.total)
        yield family


DEPTH = Gauge("workqueue_depth", "Keys that are ready and wait for a worker.", [*_QUEUE, "priority"])
ADDS = Counter("workqueue_adds_total", "Keys added.", _QUEUE)
QUEUE_DURATION = Histogram("workqueue_queue_duration_seconds", "From ready to taken.", _QUEUE, buckets=QUEUE_BUCKETS)
WORK_DURATION = Histogram("workqueue_work_duration_seconds", "From taken to done.", _QUEUE, buckets=QUEUE_BUCKETS)
UNFINISHED = Gauge("workqueue_unfinished_work_seconds", "Sum of the ages of what is being worked on.", _QUEUE)
LONGEST = Gauge("workqueue_longest_running_processor_seconds", "Age of the oldest key being worked on.", _QUEUE)
RETRIES = Counter("workqueue_retries_total", "Keys added again after a failure.", _QUEUE)

RECONCILES = Counter("controller_runtime_reconcile_total", "Reconciles by result.", ["controller", "result"])
ERRORS = Counter("controller_runtime_reconcile_errors_total", "Reconciles that raised.", ["controller"])
TERMINAL_ERRORS = Counter(
    "controller_runtime_terminal_reconcile_errors_total",
    "Reconciles that cannot succeed until the object changes.",
    ["controller"],
)
PANICS = Counter(
    "controller_runtime_reconcile_panics_total", "Reconciles that raised something unexpected: bugs.", ["controller"]
)
TIMEOUTS = Counter("controller_runtime_reconcile_timeouts_total", "Reconciles that took too long.", ["controller"])
DURATION = Histogram(
    "controller_runtime_reconcile_time_seconds",
    "How long a reconcile took.",
    ["controller"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
MAX_CONCURRENT = Gauge("controller_runtime_max_concurrent_reconciles", "Workers of the controller.", ["controller"])
ACTIVE = Gauge("controller_runtime_active_workers", "Workers that are busy.", ["controller"])

RESULTS = ("success", "error", "requeue", "requeue_after")


class _Depths(dict[int, int]):
    """How many keys of each priority are ready."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels

    def __missing__(self, priority: int) -> int:
        self[priority] = 0
        DEPTH.labels(*self._labels, str(priority)).set_function(lambda: self[priority])
        return 0


class QueueMetrics:
    """The metrics of one queue; `ages` gives the seconds that each key in work has been there."""

    def __init__(self, name: str, ages: Callable[[], list[float]]) -> None:
        labels = (name, name)
        self.ready = _Depths(labels)
        self.adds = ADDS.labels(*labels)
        self.retries = RETRIES.labels(*labels)
        self.waited = QUEUE_DURATION.labels(*labels)
        self.worked = WORK_DURATION.labels(*labels)
        UNFINISHED.labels(*labels).set_function(lambda: sum(ages()))
        LONGEST.labels(*labels).set_function(lambda: max(ages(), default=0.0))


class ControllerMetrics:
    """The metrics of one controller, every label there from the start, so that a rate over them is never missing."""

    def __init__(self, name: str, workers: int, active: Callable[[], int]) -> None:
        self.results = {result: RECONCILES.labels(name, result) for result in RESULTS}
        self.errors = ERRORS.labels(name)
        self.terminal_errors = TERMINAL_ERRORS.labels(name)
        self.panics = PANICS.labels(name)
        self.timeouts = TIMEOUTS.labels(name)
        self.duration = DURATION.labels(name)
        ACTIVE.labels(name).set_function(active)
        MAX_CONCURRENT.labels(name).set(workers)
