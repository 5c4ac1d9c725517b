"""What a controller makes of each outcome of a reconcile, under virtual time."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY

from fedstate.control.context import CURRENT
from fedstate.control.controller import Controller
from fedstate.control.ratelimit import FailureBackoff
from fedstate.control.reconciler import DONE, Result
from fedstate.control.workqueue import LOW_PRIORITY, WorkQueue
from fedstate.errors import FedstateError, TerminalError
from fedstate.kube.errors import Conflict, TooManyRequests
from fedstate.kube.objects import Key
from tests.fakes.running import Running, settle

pytestmark = pytest.mark.looptime

A, B = Key("n", "a"), Key("n", "b")


def now() -> float:
    return asyncio.get_running_loop().time()


class Scripted:
    """Plays one outcome per call, the last one for ever: a Result to return or an exception to raise."""

    def __init__(self, *outcomes: Result | Exception, seconds: float = 0.0) -> None:
        self.calls: list[tuple[float, Key]] = []
        self.finished: list[Key] = []
        self.contexts: list[tuple[str, str]] = []
        self.active = self.most_active = 0
        self._outcomes = list(outcomes) or [DONE]
        self._seconds = seconds

    async def reconcile(self, key: Key) -> Result:
        self.calls.append((now(), key))
        run = CURRENT.get()
        assert run is not None
        self.contexts.append((run.object, run.id))
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        self.active += 1
        self.most_active = max(self.active, self.most_active)
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self.active -= 1
        self.finished.append(key)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def times(self) -> list[float]:
        return [round(at, 3) for at, _ in self.calls]


def metric(name: str, controller: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"controller": controller, **labels}) or 0.0


def counted(controller: str) -> Callable[[str], float]:
    """How much the counter of a result has grown since now."""
    names = ("success", "error", "requeue_after")
    before = {name: metric("controller_runtime_reconcile_total", controller, result=name) for name in names}
    return lambda name: metric("controller_runtime_reconcile_total", controller, result=name) - before[name]


async def test_a_success_is_done_until_the_key_is_added_again() -> None:
    reconciler = Scripted()
    controller = Controller("success", reconciler)
    count = counted("success")
    async with Running(controller.run()):
        controller.queue.add(A)
        await asyncio.sleep(1000)
        assert reconciler.times == [0]
        controller.queue.add(A)
        await settle()
        assert reconciler.times == [0, 1000]
        assert count("success") == 2


async def test_requeue_after_looks_again_and_forgets_earlier_failures() -> None:
    reconciler = Scripted(FedstateError("x"), Result(requeue_after=30), FedstateError("y"), DONE)
    controller = Controller("after", reconciler, queue=WorkQueue("after", backoff=FailureBackoff(first=1)))
    count = counted("after")
    async with Running(controller.run()):
        controller.queue.add(A)
        await asyncio.sleep(1000)
        assert reconciler.times == [0, 1, 31, 32]
        assert (count("success"), count("error"), count("requeue_after")) == (1, 2, 1)


async def test_a_failure_is_tried_again_later_each_time() -> None:
    reconciler = Scripted(FedstateError("x"), FedstateError("x"), FedstateError("x"), DONE)
    controller = Controller("failure", reconciler, queue=WorkQueue("failure", backoff=FailureBackoff(first=1)))
    async with Running(controller.run()):
        controller.queue.add(A)
        await asyncio.sleep(100)
        assert reconciler.times == [0, 1, 3, 7]


async def test_a_terminal_error_is_counted_forgotten_and_not_tried_again() -> None:
    reconciler = Scripted(
        FedstateError("x"), TerminalError("BadSpec", "spec.replicas must be positive"), FedstateError("x"), DONE
    )
    controller = Controller("terminal", reconciler, queue=WorkQueue("terminal", backoff=FailureBackoff(first=1)))
    async with Running(controller.run()):
        controller.queue.add(A)
        await asyncio.sleep(1000)
        assert reconciler.times == [0, 1]
        assert metric("controller_runtime_terminal_reconcile_errors_total", "terminal") == 1
        controller.queue.add(A)
        await asyncio.sleep(100)
        assert reconciler.times == [0, 1, 1000, 1001]


async def test_an_unexpected_exception_is_a_panic_with_a_trace_and_does_not_stop_the_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reconciler = Scripted(ZeroDivisionError("bug"), DONE)
    controller = Controller("panic", reconciler, workers=1)
    async with Running(controller.run()):
        controller.queue.add(A)
        await asyncio.sleep(1)
        assert len(reconciler.calls) == 2
    assert metric("controller_runtime_reconcile_panics_total", "panic") == 1
    assert "ZeroDivisionError" in caplog.text


async def test_a_conflict_is_tried_again_quietly(caplog: pytest.LogCaptureFixture) -> None:
    reconciler = Scripted(Conflict(409, "Conflict", "changed"), DONE)
    controller = Controller("conflict", reconciler)
    async with Running(controller.run()):
        controller.queue.add(A)
        await asyncio.sleep(1)
    assert len(reconciler.calls) == 2
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_a_server_that_asks_for_patience_gets_it() -> None:
    reconciler = Scripted(TooManyRequests(429, "TooManyRequests", "later", retry_after=20), DONE)
    controller = Controller("patience", reconciler)
    async with Running(controller.run()):
        controller.queue.add(A)
        await asyncio.sleep(100)
        assert reconciler.times == [0, 20]


async def test_a_reconcile_that_takes_too_long_is_cancelled_counted_and_tried_again() -> None:
    reconciler = Scripted(seconds=100)
    controller = Controller("slow", reconciler, reconcile_timeout=10)
    async with Running(controller.run()):
        controller.queue.add(A)
        await asyncio.sleep(15)
        assert reconciler.times == [0, 10.005]
        assert metric("controller_runtime_reconcile_timeouts_total", "slow") == 1
        controller.abandon()


async def test_a_timeout_of_the_reconcilers_own_is_not_taken_for_the_controllers() -> None:
    reconciler = Scripted(TimeoutError("own"), DONE)
    controller = Controller("own-timeout", reconciler)
    async with Running(controller.run()):
        controller.queue.add(A)
        await asyncio.sleep(1)
    assert metric("controller_runtime_reconcile_timeouts_total", "own-timeout") == 0
    assert metric("controller_runtime_reconcile_panics_total", "own-timeout") == 1


async def test_workers_bound_how_many_keys_are_in_work() -> None:
    reconciler = Scripted(seconds=1)
    controller = Controller("bounded", reconciler, workers=3)
    async with Running(controller.run()):
        for number in range(9):
            controller.queue.add(Key("n", str(number)))
        await asyncio.sleep(10)
        assert reconciler.most_active == 3
        assert reconciler.times == [0] * 3 + [1] * 3 + [2] * 3


async def test_a_requeued_key_keeps_its_priority_unless_told_otherwise() -> None:
    reconciler = Scripted(Result(requeue_after=10), Result(requeue_after=10, priority=3), DONE)
    queue = WorkQueue("priority")
    added: list[int] = []
    adding = queue.add

    def add(key: Key, *, after: float = 0.0, priority: int = 0) -> None:
        added.append(priority)
        adding(key, after=after, priority=priority)

    queue.add = add  # type: ignore[method-assign]
    async with Running(Controller("priority", reconciler, queue=queue).run()):
        queue.add(A, priority=LOW_PRIORITY)
        await asyncio.sleep(100)
        assert added == [LOW_PRIORITY, LOW_PRIORITY, 3]


async def test_stopping_lets_what_is_in_work_finish_and_drops_the_rest() -> None:
    reconciler = Scripted(seconds=5)
    controller = Controller("drain", reconciler, workers=1)
    async with Running(controller.run()):
        controller.queue.add(A)
        controller.queue.add(B)
        await settle()
    assert reconciler.finished == [A]
    assert now() == 5


async def test_a_reconcile_that_outlasts_the_drain_is_cancelled() -> None:
    reconciler = Scripted(seconds=500)
    controller = Controller("drain-late", reconciler, reconcile_timeout=1000, drain_timeout=30)
    async with Running(controller.run()):
        controller.queue.add(A)
        await settle()
    assert reconciler.finished == []
    assert now() == 30


async def test_abandoning_waits_for_nothing() -> None:
    reconciler = Scripted(seconds=5)
    controller = Controller("abandon", reconciler)
    async with Running(controller.run()):
        controller.queue.add(A)
        await settle()
        controller.abandon()
    assert reconciler.finished == []
    assert now() == 0


async def test_every_run_has_an_id_of_its_own_and_names_its_object() -> None:
    reconciler = Scripted()
    controller = Controller("ids", reconciler, workers=1)
    async with Running(controller.run()):
        controller.queue.add(A)
        controller.queue.add(B)
        await settle()
    assert [name for name, _ in reconciler.contexts] == ["n/a", "n/b"]
    assert len({run for _, run in reconciler.contexts}) == 2


def test_every_result_has_a_sample_before_anything_happened() -> None:
    Controller("fresh", Scripted(), queue=WorkQueue("fresh"))
    for result in ("success", "error", "requeue", "requeue_after"):
        assert REGISTRY.get_sample_value("controller_runtime_reconcile_total", {"controller": "fresh", "result": result}) == 0
