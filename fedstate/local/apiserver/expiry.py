"""Events are kept for an hour, as in Kubernetes; nothing else ends by itself."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from fedstate.kube.objects import KubeObject, parse_time
from fedstate.local.apiserver.core import Core

EVENTS = "events"
KEPT_FOR = timedelta(hours=1)
LOOK_EVERY = 60.0


def last_seen(event: KubeObject) -> datetime:
    """When the event last happened, as far as it says."""
    times = [
        event["metadata"]["creationTimestamp"],
        event.get("lastTimestamp"),
        event.get("eventTime"),
        (event.get("series") or {}).get("lastObservedTime"),
    ]
    return max(parse_time(time) for time in times if time)


def expire(core: Core) -> int:
    """Remove the events whose time is over; returns how many."""
    oldest = core.clock() - KEPT_FOR
    gone = [key for key, entry in core.store.collection(EVENTS).entries() if last_seen(entry.obj) < oldest]
    for key in gone:
        core.store.remove(EVENTS, key)
    return len(gone)


async def run_expiry(core: Core) -> None:
    """Ends by cancellation."""
    while True:
        expire(core)
        await asyncio.sleep(LOOK_EVERY)
