"""One MongoDB in one cluster: observe, plan, carry out, report. Everything that is decided, pure modules decide.

Knows no other cluster but through the member plan and the members' own answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from fedstate.api.mongodb import MongoDB
from fedstate.api.naming import FINALIZER_MONGODB, MONGODBS, auth_secret_name, replset_name
from fedstate.control.reconciler import DONE, Result
from fedstate.dataplane.credentials import USER_NAMES, Credentials
from fedstate.dataplane.holdings import Holdings, OwnMember, holdings_of, pod_problem
from fedstate.dataplane.inputs import Inputs
from fedstate.dataplane.look import Look, Problem
from fedstate.dataplane.members import Roster, roster_of, standalone_plan
from fedstate.dataplane.membership import next_step
from fedstate.dataplane.naming import ANNOTATION_OPERATOR
from fedstate.dataplane.pods import PodInputs, operator_revision, pod_revision
from fedstate.dataplane.provision import Provision
from fedstate.dataplane.readings import Question, SetReader
from fedstate.dataplane.reporting import CONVERGING, IDLE, Reporter
from fedstate.dataplane.rollout import HandOver, Restart, is_turn, next_rollout_step, outdated
from fedstate.dataplane.stance import Attitude, Stance, identity_of, stance_of
from fedstate.dataplane.steering import Deed, Steering
from fedstate.dataplane.steps import Settled, Step, Wait
from fedstate.dataplane.teardown import Teardown
from fedstate.dataplane.writer import Writer
from fedstate.errors import TerminalError
from fedstate.kube.events import EventRecorder
from fedstate.kube.objects import Key, KubeObject, annotations_of, finalizers_of
from fedstate.kube.resources import PODS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """What a reconciler works with."""

    inputs: Inputs
    writer: Writer
    reader: SetReader
    steering: Steering
    provision: Provision
    teardown: Teardown
    reporter: Reporter
    events: EventRecorder
    cluster_name: str
    vip: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class MongoDBReconciler:
    """Reconciler of MongoDB."""

    def __init__(self, parts: Collaborators) -> None:
        self._parts = parts

    async def reconcile(self, key: Key) -> Result:
        obj = self._parts.inputs.mongodb(key)
        if obj is None:
            self._parts.reader.forget(key)
            return DONE
        try:
            mongo = MongoDB.from_object(obj)
        except TerminalError as error:
            return await self._parts.reporter.report_invalid(obj, error)
        holdings = self._holdings(key, mongo, obj)
        stance = stance_of(mongo, self._parts.cluster_name, holdings)
        look = Look(mongo=mongo, stance=stance, holdings=holdings, previous=_previous(obj, stance))
        match stance.attitude:
            case Attitude.LEAVE:
                return await self._leave(key, obj, look)
            case Attitude.WATCH:
                return await self._watch(obj, look)
            case Attitude.ACT:
                return await self._act(key, obj, look)

    def _holdings(self, key: Key, mongo: MongoDB, obj: KubeObject) -> Holdings:
        _, uid = identity_of(mongo, self._parts.cluster_name)
        uid = uid or str(((obj.get("status") or {}).get("federation") or {}).get("instanceUID") or "")
        return holdings_of(mongo.name, uid, self._parts.inputs.member_objects(key), self._vip(mongo, obj.get("status") or {}))

    def _vip(self, mongo: MongoDB, status: Mapping[str, Any]) -> str | None:
        known = [str(member.get("host") or "") for member in status.get("members") or ()]
        return mongo.vip or self._parts.vip or self._parts.inputs.node_address(known)

    async def _act(self, key: Key, obj: KubeObject, look: Look) -> Result:
        parts, mongo, uid = self._parts, look.mongo, look.stance.instance_uid
        await parts.writer.set_finalizers(obj, _with(finalizers_of(obj), FINALIZER_MONGODB))
        await parts.writer.mark_namespace(parts.inputs.namespace(key.namespace), holds=True)
        running = next((member for member in look.holdings.members if member.pod is not None), None)
        credentials, problems = await parts.provision.credentials(mongo, running=running)
        pods, more = await parts.provision.configuration(mongo, uid)
        plan, unreadable = parts.provision.plan(mongo, uid)
        look = replace(look, plan=plan, problems=(*problems, *more, *unreadable))
        if not self._vip(mongo, look.previous):
            look = _with_problem(look, Problem(reason="NoAddress", message=_NO_ADDRESS))
        if credentials is not None:
            look = await self._read(look, credentials)
        look = await self._provide(key, look, pods if credentials is not None else None)
        if not mongo.federated and not unreadable:
            look = await self._plan(look)
        if credentials is not None:
            look = await self._steer(obj, look, credentials)
            look = await self._roll(obj, look, credentials)
        look = await self._let_go(look)
        return await self._parts.reporter.report(obj, look)

    async def _read(self, look: Look, credentials: Credentials) -> Look:
        question = Question(
            instance=Key(look.mongo.namespace, look.mongo.name),
            own_hosts=[member.host for member in look.holdings.members if member.running and member.host],
            plan=look.plan,
            credential=credentials.system,
            initialized_before=_was_initialized(look),
            user_names=USER_NAMES,
            set_name=replset_name(look.mongo.name),
        )
        return replace(look, reading=await self._parts.reader.read(question))

    async def _provide(self, key: Key, look: Look, pods: PodInputs | None) -> Look:
        """Members exist as they should. Before a number is given away, what is there is read from the server itself."""
        mongo, uid = look.mongo, look.stance.instance_uid
        holdings = look.holdings
        roster = self._roster(look, holdings)
        if pods is None:
            return replace(look, roster=roster)
        if roster.fresh:
            objects = await self._parts.inputs.live_member_objects(key)
            holdings = holdings_of(mongo.name, uid, objects, self._vip(mongo, look.previous))
            roster = self._roster(look, holdings)
        certain = replace(roster, fresh=()) if look.spec_is_behind else roster
        wrote, problems = await self._parts.provision.members(pods, certain, holdings, uid)
        found = (text for text in map(pod_problem, holdings.members) if text)
        problems += [Problem(reason="PodFailing", message=text) for text in found]
        look = replace(look, roster=roster, revision=pod_revision(pods), acted=look.acted or wrote)
        return replace(look, problems=(*look.problems, *problems))

    def _roster(self, look: Look, holdings: Holdings) -> Roster:
        before = int(look.previous.get("nextOrdinal") or 0)
        return roster_of(look.mongo, look.stance.cluster, holdings, look.plan, look.reading, before)

    async def _plan(self, look: Look) -> Look:
        """The next plan of an instance of its own; when it differs, again on what the server has, so that no number is used twice."""
        planned = standalone_plan(look.mongo, look.holdings, look.plan, look.reading)
        if planned is None or planned == look.plan:
            return look
        uid = look.stance.instance_uid
        planned = standalone_plan(look.mongo, look.holdings, await self._parts.provision.live_plan(look.mongo, uid), look.reading)
        if planned is None:
            return look
        wrote = await self._parts.provision.write_plan(look.mongo, planned, uid)
        return replace(look, plan=planned, acted=look.acted or wrote)

    async def _steer(self, obj: KubeObject, look: Look, credentials: Credentials) -> Look:
        parts = self._parts
        users_current, deeds = await parts.steering.ensure_users(look.reading, credentials)
        step = self._step(look)
        look = replace(look, step=step, users_current=users_current)
        deed = await parts.steering.carry_out(step, look.plan, look.reading, credentials) if look.plan is not None else None
        for done in (*deeds, *((deed,) if deed is not None else ())):
            look = self._told(obj, look, done)
        refused = [reading.detail for reading in look.reading.members.values() if reading.probe.value == "Refused"]
        if refused:
            secret = auth_secret_name(look.mongo.name)
            message = (
                f"{refused[0]}: the keyfile in Secret {secret} is not the one that the members were started with; restore it"
            )
            look = _with_problem(look, Problem(reason="SignInRefused", message=message))
        return look

    def _step(self, look: Look) -> Step:
        if look.plan is None:
            return Wait(reason="NoPlan", message="there is no member plan yet: members have to have addresses first")
        stamp = look.mongo.federation
        if stamp is not None and look.plan.generation < stamp.plan_generation:
            message = f"the stamp is of plan {stamp.plan_generation}, the plan that has arrived is {look.plan.generation}"
            return Wait(reason="PlanOutdated", message=message)
        before = look.previous.get("federation") or {}
        had = max(int(before.get("planGeneration") or 0), int(before.get("hostconfGeneration") or 0))
        if stamp is not None and before.get("instanceUID") == stamp.instance_uid and look.plan.generation < had:
            message = (
                f"the plan that has arrived is {look.plan.generation}, but plan {had} was here before; it is not gone back to"
            )
            return Wait(reason="PlanOutdated", message=message)
        return next_step(look.reading.view, look.plan, look.stance.cluster)

    async def _roll(self, obj: KubeObject, look: Look, credentials: Credentials) -> Look:
        """Pods that are not as they should be are replaced when the configuration rests."""
        resting = isinstance(look.step, Settled | Wait)
        leaving = {member.name for member in look.roster.retiring} if look.roster is not None else set()
        staying = [member for member in look.holdings.members if member.name not in leaving]
        ours = self._is_our_turn(look, staying)
        rollout = next_rollout_step(staying, look.revision, look.reading, our_turn=ours) if look.revision and resting else None
        look = replace(look, rollout=rollout)
        match rollout:
            case Restart(member=member) if member.pod is not None:
                if await self._parts.writer.delete(PODS, member.pod):
                    note = f"pod {member.name}-0 is replaced by one of revision {look.revision}"
                    return self._told(obj, look, Deed(reason="PodReplaced", note=note))
            case HandOver(member=member) if look.reading.view.primary_is_own:
                if await self._parts.steering.step_down(look.reading, credentials):
                    note = f"{member.host} stepped down before its pod is replaced"
                    return self._told(obj, look, Deed(reason="StepDown", note=note))
        return look

    def _is_our_turn(self, look: Look, members: Sequence[OwnMember]) -> bool:
        """A changed spec the federation gives to one cluster at a time; what a new version of the operator changes goes by the clock."""
        pods = [member.pod or {} for member in outdated(members, look.revision)]
        if look.plan is None or all(annotations_of(pod).get(ANNOTATION_OPERATOR) == operator_revision() for pod in pods):
            return True
        return is_turn(look.stance.cluster, (member.cluster for member in look.plan.members), self._parts.now())

    async def _let_go(self, look: Look) -> Look:
        """Stop what the live configuration no longer has."""
        for member in look.roster.leaving if look.roster is not None else ():
            await self._parts.teardown.remove_member(look.mongo, member)
            look = replace(look, acted=True)
        return look

    async def _watch(self, obj: KubeObject, look: Look) -> Result:
        """Report what is here without touching it; with nothing here, a deletion need not wait for anything.

        Nor need that of an object which Karmada makes again: what runs here is not its object's to end.
        """
        made_again = look.stance.reason == "NotDecommissioned" and look.mongo.karmada_managed
        if look.mongo.deleting and (look.holdings.empty or made_again):
            await self._parts.writer.set_finalizers(obj, _without(finalizers_of(obj), FINALIZER_MONGODB))
            return DONE
        foreign = look.stance.reason in ("ForeignCluster", "ForeignInstance")
        if look.holdings.members and not foreign:
            plan, _ = self._parts.provision.plan(look.mongo, look.stance.instance_uid)
            credentials, _ = await self._parts.provision.credentials(look.mongo, running=look.holdings.members[0])
            look = replace(look, plan=plan)
            if credentials is not None:
                look = await self._read(look, credentials)
        return await self._parts.reporter.report(obj, look)

    async def _leave(self, key: Key, obj: KubeObject, look: Look) -> Result:
        parts, mongo = self._parts, look.mongo
        await parts.teardown.remove_all(key, mongo, look.stance.instance_uid, look.holdings)
        if not look.holdings.empty:
            await self._parts.reporter.report(obj, look)
            return Result(requeue_after=CONVERGING)
        if not parts.teardown.protects_namespace(key.namespace):
            await parts.writer.mark_namespace(parts.inputs.namespace(key.namespace), holds=False)
        let_go = mongo.federated and not mongo.karmada_managed
        if mongo.deleting:
            if mongo.federated:
                await parts.teardown.remove_what_was_brought(key, mongo, look.stance.instance_uid)
            await parts.writer.set_finalizers(obj, _without(finalizers_of(obj), FINALIZER_MONGODB))
            return DONE
        reported = bool(look.previous.get("decommissioned"))
        await self._parts.reporter.report(obj, look)
        if not (reported and let_go):
            return Result(requeue_after=IDLE)
        if not await parts.teardown.remove_what_was_brought(key, mongo, look.stance.instance_uid):
            return Result(requeue_after=CONVERGING)
        await parts.writer.delete(MONGODBS, obj)
        return Result(requeue_after=IDLE)

    def _told(self, obj: KubeObject, look: Look, deed: Deed) -> Look:
        if deed.problem is not None:
            self._parts.events.event(obj, "Warning", deed.problem.reason, deed.problem.message)
            return _with_problem(look, deed.problem)
        if deed.reason:
            self._parts.events.event(obj, "Normal", deed.reason, deed.note)
        return replace(look, acted=True)


_NO_ADDRESS = (
    "members cannot be reached from outside: give the object the label app.multicloudmongodb.io/vip, "
    "or the operator --vip; no node of the cluster is ready to lend its address"
)


def _previous(obj: KubeObject, stance: Stance) -> Mapping[str, Any]:
    """What was reported before. Karmada may hand an object on to the next instance of its name: then nothing of it holds."""
    status: Mapping[str, Any] = obj.get("status") or {}
    told = (status.get("federation") or {}).get("instanceUID")
    return {} if stance.attitude is Attitude.ACT and told and told != stance.instance_uid else status


def _was_initialized(look: Look) -> bool:
    """Whether the set is known to have been begun: from the status, or from the plan where the object was made anew."""
    known = (look.previous.get("replicaSet") or {}).get("id")
    return bool(known or (look.plan is not None and look.plan.replica_set_id))


def _with_problem(look: Look, problem: Problem) -> Look:
    return replace(look, problems=(*look.problems, problem))


def _with(finalizers: list[str], name: str) -> list[str]:
    return finalizers if name in finalizers else [*finalizers, name]


def _without(finalizers: list[str], name: str) -> list[str]:
    return [entry for entry in finalizers if entry != name]
