"""Workers that take keys from a queue, reconcile them, and put them back as the outcome says.

The whole retry policy is `_handle`. Knows nothing of what the keys name.
"""

import asyncio
import itertools
import logging
import secrets
import time

from fedstate.control.context import CURRENT, Reconciling
from fedstate.control.deadlines import Deadline, Deadlines
from fedstate.control.metrics import ControllerMetrics
from fedstate.control.reconciler import Reconciler, Result
from fedstate.control.workqueue import Item, QueueShutDown, WorkQueue
from fedstate.errors import FedstateError, TerminalError

_log = logging.getLogger(__name__)

DRAIN_TIMEOUT = 30.0

# From a random start, so that two processes do not share them; below 48 bits for longer than a process lives.
_ids = itertools.count(secrets.randbits(47))


class Controller:
    """Reconciles the keys in `queue`, up to `workers` at a time, each for at most `reconcile_timeout` seconds."""

    def __init__(
        self,
        name: str,
        reconciler: Reconciler,
        *,
        workers: int = 4,
        reconcile_timeout: float = 120.0,
        drain_timeout: float = DRAIN_TIMEOUT,
        queue: WorkQueue | None = None,
    ) -> None:
        self.name = name
        self.queue = queue if queue is not None else WorkQueue(name)
        self._reconciler = reconciler
        self._workers = workers
        self._reconcile_timeout = reconcile_timeout
        self._deadlines = Deadlines(reconcile_timeout)
        self._drain_timeout = drain_timeout
        self._busy = 0
        self._metrics = ControllerMetrics(name, workers, lambda: self._busy)

    async def run(self) -> None:
        """Works until cancelled; then takes nothing new, and gives what is in work `drain_timeout` seconds to finish."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._work(), name=f"{self.name} worker {number}")
                try:
                    await asyncio.Event().wait()
                finally:
                    await self._drain()
        finally:
            self._deadlines.close()

    def abandon(self) -> None:
        """Makes the next end of `run` an immediate one: this process may no longer act."""
        self._drain_timeout = 0.0

    async def _drain(self) -> None:
        self.queue.shut_down()
        try:
            async with asyncio.timeout(self._drain_timeout):
                await self.queue.wait_idle()
        except TimeoutError:
            _log.warning("reconciles did not finish in time and are cancelled", extra={"controller": self.name})

    async def _work(self) -> None:
        deadline = self._deadlines.for_this_task()
        while True:
            try:
                item = await self.queue.get()
            except QueueShutDown:
                return
            self._busy += 1
            try:
                await self._handle(item, deadline)
            finally:
                self._busy -= 1
                self.queue.done(item.key)

    async def _handle(self, item: Item, deadline: Deadline) -> None:
        CURRENT.set(Reconciling(self.name, item.key, next(_ids)))
        begun = time.perf_counter()
        try:
            with deadline:
                result = await self._reconciler.reconcile(item.key)
        except TerminalError as error:
            self._metrics.terminal_errors.inc()
            self._failed(item, retry=False)
            _log.error("cannot be reconciled until the object changes", extra={"reason": error.reason, "error": error.message})
        except FedstateError as error:
            delay = self._failed(item, after=error.retry_after)
            level = logging.DEBUG if error.routine else logging.WARNING
            _log.log(level, "reconcile failed, trying again", extra={"error": str(error), "retry_in_seconds": round(delay, 3)})
        except Exception as error:  # noqa: BLE001 - the one place where a bug in a reconciler ends
            delay = self._failed(item)
            if isinstance(error, TimeoutError) and deadline.expired:
                self._metrics.timeouts.inc()
                _log.warning("reconcile took too long and was cancelled", extra={"limit_seconds": self._reconcile_timeout})
            else:
                self._metrics.panics.inc()
                _log.exception("reconcile failed unexpectedly, trying again", extra={"retry_in_seconds": round(delay, 3)})
        else:
            self._succeeded(item, result)
        finally:
            self._metrics.duration.observe(time.perf_counter() - begun)

    def _succeeded(self, item: Item, result: Result) -> None:
        self.queue.forget(item.key)
        if result.requeue_after is None:
            self._metrics.results["success"].inc()
            return
        priority = item.priority if result.priority is None else result.priority
        self.queue.add(item.key, after=result.requeue_after, priority=priority)
        self._metrics.results["requeue_after"].inc()

    def _failed(self, item: Item, *, after: float | None = None, retry: bool = True) -> float:
        self._metrics.results["error"].inc()
        self._metrics.errors.inc()
        if retry:
            return self.queue.retry(item.key, priority=item.priority, after=after)
        self.queue.forget(item.key)
        return 0.0
