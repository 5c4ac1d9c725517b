"""Leader election against a fake API server, under virtual time."""

import asyncio
from typing import Any

import pytest

from fedstate.kube.errors import TransportError
from fedstate.kube.leadership import Leadership, LeadershipLost, LeaseTimes
from fedstate.kube.resources import LEASES
from fedstate.kube.transport import Request
from tests.fakes.apiserver import FakeApiServer, refusal
from tests.fakes.running import settle

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


def candidate(server: FakeApiServer, identity: str, **times: float) -> Leadership:
    return Leadership(server.client(), "n", "fedstate", identity, times=LeaseTimes(**times))


def spec(server: FakeApiServer) -> dict[str, Any]:
    lease = server.get(LEASES, "fedstate", "n")
    assert lease is not None
    found: dict[str, Any] = lease["spec"]
    return found


def is_write(request: Request) -> bool:
    return request.method in ("PUT", "POST")


class Leader:
    """A process that wants to lead, and leads until it loses the lease or is stopped."""

    def __init__(self, leadership: Leadership) -> None:
        self.leadership = leadership
        self.led_from: float | None = None
        self.lost_at: float | None = None

    async def run(self) -> None:
        async with self.leadership:
            self.led_from = now()
            try:
                await self.leadership.keep()
            except LeadershipLost:
                self.lost_at = now()


async def test_the_first_to_come_creates_the_lease_and_renews_it() -> None:
    server = FakeApiServer()
    leader = Leader(candidate(server, "a"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(leader.run())
        await settle()
        assert leader.led_from == 0
        first = spec(server)
        assert (first["holderIdentity"], first["leaseDurationSeconds"], first["leaseTransitions"]) == ("a", 15, 0)
        await asyncio.sleep(21)
        assert spec(server)["acquireTime"] == first["acquireTime"]
        assert server.verbs() == ["get", "create"] + ["replace"] * 10
        task.cancel()


async def test_a_clean_end_gives_the_lease_back_so_that_another_leads_at_once() -> None:
    server = FakeApiServer()
    first, second = Leader(candidate(server, "a")), Leader(candidate(server, "b"))
    async with asyncio.TaskGroup() as group:
        one = group.create_task(first.run())
        await settle()
        two = group.create_task(second.run())
        await asyncio.sleep(60)
        assert second.led_from is None
        one.cancel()
        await settle()
        assert (spec(server)["holderIdentity"], spec(server)["leaseDurationSeconds"]) == ("", 1)
        await asyncio.sleep(5)
        assert second.led_from is not None
        assert (spec(server)["holderIdentity"], spec(server)["leaseTransitions"]) == ("b", 1)
        two.cancel()


async def test_a_leader_that_died_is_followed_after_the_duration_in_its_own_record() -> None:
    server = FakeApiServer()
    server.seed(
        LEASES,
        {"metadata": {"name": "fedstate", "namespace": "n"}, "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 40}},
    )
    leader = Leader(candidate(server, "b"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(leader.run())
        await asyncio.sleep(39)
        assert leader.led_from is None
        await asyncio.sleep(6)
        assert leader.led_from is not None
        task.cancel()


async def test_times_written_by_others_are_not_compared_with_our_clock() -> None:
    server = FakeApiServer()
    record = {"holderIdentity": "x", "leaseDurationSeconds": 15, "renewTime": "2001-01-01T00:00:00.000000Z"}
    server.seed(LEASES, {"metadata": {"name": "fedstate", "namespace": "n"}, "spec": record})
    leader = Leader(candidate(server, "b"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(leader.run())
        await asyncio.sleep(14)
        assert leader.led_from is None
        task.cancel()


async def test_a_leader_cut_off_stops_before_another_can_lead() -> None:
    server = FakeApiServer()
    first, second = Leader(candidate(server, "a")), Leader(candidate(server, "b"))
    async with asyncio.TaskGroup() as group:
        one = group.create_task(first.run())
        await settle()
        two = group.create_task(second.run())
        await asyncio.sleep(7)
        # Only the first is cut off: its requests are the writes that renew.
        server.fail(lambda request: is_write(request) and b'"a"' in (request.body or b""), TransportError("cut"), times=None)
        await asyncio.sleep(60)
        assert first.lost_at is not None
        assert second.led_from is not None
        assert first.lost_at < second.led_from
        assert first.lost_at <= 6 + 10
        await one
        two.cancel()


async def test_a_server_that_hangs_does_not_make_a_leader_believe_longer() -> None:
    server = FakeApiServer()
    leader = Leader(candidate(server, "a"))
    async with asyncio.TaskGroup() as group:
        group.create_task(leader.run())
        await asyncio.sleep(1)
        server.latency = 1000
        await asyncio.sleep(30)
        assert leader.lost_at == 10


async def test_a_lease_taken_by_somebody_else_is_lost_at_once() -> None:
    server = FakeApiServer()
    leader = Leader(candidate(server, "a"))
    async with asyncio.TaskGroup() as group:
        group.create_task(leader.run())
        await asyncio.sleep(1)
        lease = server.get(LEASES, "fedstate", "n")
        assert lease is not None
        server.seed(LEASES, lease | {"spec": lease["spec"] | {"holderIdentity": "thief"}})
        await asyncio.sleep(2)
        assert leader.lost_at == 2
    assert spec(server)["holderIdentity"] == "thief"


async def test_a_conflict_is_read_again_and_renewed_in_the_same_try() -> None:
    server = FakeApiServer()
    leader = Leader(candidate(server, "a"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(leader.run())
        await asyncio.sleep(1)
        lease = server.get(LEASES, "fedstate", "n")
        assert lease is not None
        server.seed(LEASES, lease | {"metadata": lease["metadata"] | {"labels": {"touched": "yes"}}})
        await asyncio.sleep(2)
        assert server.verbs()[2:] == ["replace", "get", "replace"]
        task.cancel()


async def test_one_failed_renewal_is_no_loss() -> None:
    server = FakeApiServer()
    leader = Leader(candidate(server, "a"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(leader.run())
        await asyncio.sleep(1)
        server.fail(is_write, refusal(500, "InternalError", "etcd leader changed"), times=2)
        await asyncio.sleep(60)
        assert leader.lost_at is None
        task.cancel()


async def test_health_fails_only_for_a_leader_whose_lease_ran_out_long_ago() -> None:
    server = FakeApiServer()
    leadership = candidate(server, "a")
    assert leadership.healthy()
    async with leadership:
        await asyncio.sleep(34)
        assert leadership.healthy()
        await asyncio.sleep(2)
        assert not leadership.healthy()


async def test_a_lease_that_cannot_be_given_back_does_not_hold_up_the_end() -> None:
    server = FakeApiServer()
    async with candidate(server, "a"):
        server.latency = 1000
    assert now() == 5


@pytest.mark.parametrize("times", [{"duration": 10.0}, {"retry_period": 9.0}, {"retry_period": 0.0}])
def test_times_that_would_let_two_lead_are_refused(times: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="duration > renew_deadline"):
        LeaseTimes(**times)
