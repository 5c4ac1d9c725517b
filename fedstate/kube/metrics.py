"""Every Prometheus metric of the kube layer, defined once. Names known from client-go keep client-go's names."""

from prometheus_client import Counter, Gauge

REQUESTS = Counter(
    "rest_client_requests_total",
    "Requests to API servers, by status code (<error> when no answer came), method and host.",
    ["code", "method", "host"],
)
LEADING = Gauge("leader_election_master_status", "1 while this process holds the lease of that name.", ["name"])
WATCH_LINES_SKIPPED = Counter(
    "fedstate_watch_lines_skipped_total", "Watch lines that were not understood and skipped.", ["resource"]
)
EVENTS_SEEN = Counter("fedstate_informer_events_total", "Watch events applied to a cache.", ["server", "resource", "type"])
RELISTS = Counter("fedstate_informer_relists_total", "Times a cache was filled anew, and why.", ["server", "resource", "reason"])
LAST_EVENT_AGE = Gauge(
    "fedstate_informer_last_event_age_seconds",
    "Seconds since the server last sent anything for this cache.",
    ["server", "resource"],
)
CACHED_OBJECTS = Gauge("fedstate_informer_objects", "Objects in this cache.", ["server", "resource"])
LISTENER_ERRORS = Counter("fedstate_informer_listener_errors_total", "Exceptions raised by listeners of a cache.", ["resource"])
EVENTS_DROPPED = Counter("fedstate_events_dropped_total", "Kubernetes Events not sent, and why.", ["reason"])
