"""Phase and conditions of a pod, probes' thresholds, back-off."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fedstate.local.node.backoff import BackOff
from fedstate.local.node.podstatus import ContainerView, PodView, Running, State, Terminated, Waiting, status_of
from fedstate.local.node.probes import ProbeState, timing_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LATER = datetime(2026, 1, 3, tzinfo=UTC)
RUNNING = Running(started_at=NOW)
WAITING = Waiting(reason="ContainerCreating")
DONE = Terminated(exit_code=0, reason="Completed", started_at=NOW, finished_at=NOW)
FAILED = Terminated(exit_code=137, signal=9, reason="Error", started_at=NOW, finished_at=NOW)


def view(
    main: list[State], init: list[State] | None = None, *, policy: str = "Always", stopping: bool = False, ready: bool = True
) -> PodView:
    def container(name: str, state: State) -> ContainerView:
        return ContainerView(name=name, image="i", state=state, ready=ready and isinstance(state, Running), started=True)

    return PodView(
        init=[container(f"i{n}", state) for n, state in enumerate(init or [])],
        main=[container(f"c{n}", state) for n, state in enumerate(main)],
        restart_policy=policy, host_ip="127.0.0.1", pod_ip="127.0.0.2", started_at=NOW, stopping=stopping,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pod", "phase"),
    [
        (view([WAITING]), "Pending"),
        (view([WAITING], [RUNNING]), "Pending"),
        (view([WAITING], [FAILED], policy="Never"), "Failed"),
        (view([WAITING], [DONE]), "Pending"),
        (view([RUNNING, WAITING], [DONE]), "Running"),
        (view([FAILED]), "Running"),
        (view([DONE], policy="OnFailure"), "Succeeded"),
        (view([FAILED], policy="OnFailure"), "Running"),
        (view([FAILED, DONE], policy="Never"), "Failed"),
        (view([FAILED], stopping=True), "Failed"),
        (view([DONE], stopping=True), "Succeeded"),
    ],
)
def test_the_phase_follows_from_the_containers_and_the_restart_policy(pod: PodView, phase: str) -> None:
    assert status_of(pod, {}, NOW)["phase"] == phase


def condition(status: dict[str, Any], kind: str) -> Any:
    return next(c for c in status["conditions"] if c["type"] == kind)


def test_ready_needs_every_container_and_keeps_its_time_while_it_holds() -> None:
    first = status_of(view([RUNNING], [DONE]), {}, NOW)
    assert condition(first, "Ready")["status"] == "True"
    again = status_of(view([RUNNING], [DONE]), first, LATER)
    assert again == first
    unready = status_of(view([RUNNING], [DONE], ready=False), again, LATER)
    assert condition(unready, "Ready")["message"] == "containers with unready status: [c0]"
    assert condition(unready, "Ready")["lastTransitionTime"] == "2026-01-03T00:00:00Z"


def test_conditions_of_others_are_kept_and_the_schedulers_complaint_is_closed() -> None:
    old = {
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}, {"type": "mine", "status": "True"}]
    }
    status = status_of(view([RUNNING]), old, NOW)
    assert condition(status, "PodScheduled") == {
        "type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-01-02T00:00:00Z",
    }  # fmt: skip
    assert condition(status, "mine")["status"] == "True"


def test_a_killed_container_shows_code_and_signal() -> None:
    ended = status_of(view([FAILED]), {}, NOW)["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["signal"], ended["reason"]) == (137, 9, "Error")


def test_a_probe_turns_after_as_many_answers_in_a_row_as_its_thresholds_say() -> None:
    state = ProbeState(timing_of({"failureThreshold": 2, "successThreshold": 2}), passed=False)
    verdicts = []
    for ok in (True, False, True, True, False, True, False, False, True):
        state.note(ok)
        verdicts.append(state.passed)
    assert verdicts == [False, False, False, True, True, True, True, False, False]


def test_the_first_restart_is_at_once_and_the_next_ones_wait_twice_as_long() -> None:
    backoff = BackOff()
    assert backoff.left(100.0, 100.0) == 0
    waits = []
    for _ in range(7):
        backoff.restarted()
        waits.append(backoff.left(100.0, 100.0))
    assert waits == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.left(100.0, 390.0) == 10
    backoff.ran(601)
    assert backoff.left(100.0, 100.0) == 0
