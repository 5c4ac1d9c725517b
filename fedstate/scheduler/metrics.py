"""Every Prometheus metric of the scheduler."""

from functools import cache

from prometheus_client import Gauge

from fedstate.control.metrics import Count, Counter, Durations, Histogram

ATTEMPTS = Counter(
    "fedstate_scheduler_schedule_attempts_total",
    "Decisions, by the reason of the condition Scheduled that they led to.",
    ["kind", "result"],
)
DURATION = Histogram(
    "fedstate_scheduler_scheduling_algorithm_duration_seconds",
    "From a demand to the decision and its explanation, writes excluded.",
    ["kind"],
    buckets=(0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 1),
)
MEMBERS = Gauge(
    "fedstate_scheduler_members",
    "Member clusters whose nodes and pods are to be watched (watched), and those whose changes arrive (synced).",
    ["state"],
)
READING_AGE = Gauge(
    "fedstate_scheduler_reading_age_seconds",
    "Seconds since the watches of a member cluster's nodes and pods were last seen to be alive; NaN if they never were.",
    ["cluster"],
)


@cache
def _attempts(kind: str, result: str) -> Count:
    return ATTEMPTS.labels(kind, result)


@cache
def _duration(kind: str) -> Durations:
    return DURATION.labels(kind)


def decided(kind: str, result: str, seconds: float) -> None:
    _attempts(kind, result).inc()
    _duration(kind).observe(seconds)
