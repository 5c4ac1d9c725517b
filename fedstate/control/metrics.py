"""Every Prometheus metric of the controller machinery, under the names that controller-runtime made known."""

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram

QUEUE_BUCKETS = tuple(1e-8 * 10**power for power in range(12))
_QUEUE = ["name", "controller"]

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


class QueueMetrics:
    """The metrics of one queue; `ages` gives the seconds that each key in work has been there."""

    def __init__(self, name: str, ages: Callable[[], list[float]]) -> None:
        self._labels = (name, name)
        self._depth: dict[int, int] = {}
        self._adds = ADDS.labels(*self._labels)
        self._retries = RETRIES.labels(*self._labels)
        self._queue_duration = QUEUE_DURATION.labels(*self._labels)
        self._work_duration = WORK_DURATION.labels(*self._labels)
        UNFINISHED.labels(*self._labels).set_function(lambda: sum(ages()))
        LONGEST.labels(*self._labels).set_function(lambda: max(ages(), default=0.0))

    def added(self) -> None:
        self._adds.inc()

    def retried(self) -> None:
        self._retries.inc()

    def ready(self, priority: int, change: int) -> None:
        if priority not in self._depth:
            self._depth[priority] = 0
            DEPTH.labels(*self._labels, str(priority)).set_function(lambda: self._depth[priority])
        self._depth[priority] += change

    def taken(self, waited: float) -> None:
        self._queue_duration.observe(waited)

    def worked(self, seconds: float) -> None:
        self._work_duration.observe(seconds)


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
