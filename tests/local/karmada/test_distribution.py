"""What reaches the members, what is put right there, and what they report back."""

from __future__ import annotations

from typing import Any

from fedstate.api.karmada import OVERRIDE_POLICIES, PROPAGATION_POLICIES, RESOURCE_BINDINGS
from fedstate.kube.errors import ApiError
from fedstate.kube.objects import KubeObject, annotations_of, finalizers_of, labels_of, uid_of
from fedstate.kube.resources import EVENTS, NAMESPACES, SECRETS
from tests.local.karmada.federation import DATABASES, Federation, eventually, gone


async def test_each_cluster_gets_its_own_overridden_object_and_reports_back(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    first, second = await federation.database("m1"), await federation.database("m2")
    assert (first["spec"]["members"], second["spec"]["members"]) == (3, 2)
    assert labels_of(first)["karmada.io/managed"] == "true"
    assert labels_of(second)["vip-of"] == "m2"
    assert annotations_of(first)["work.karmada.io/namespace"] == "karmada-es-m1"
    assert (await federation.members["m2"].get(SECRETS, "orders-auth", "db"))["data"] == {"keyfile": "YWJj"}
    await _set_status(federation, "m2", {"state": "Running"})
    assert await _aggregated(federation, "m2", status={"state": "Running"}) == {
        "clusterName": "m2",
        "applied": True,
        "health": "Healthy",
        "status": {"state": "Running"},
    }
    assert await _item(federation, "m1") == {"clusterName": "m1", "applied": True, "health": "Healthy"}


async def test_nothing_is_dispatched_before_the_override_policy_exists(federation: Federation) -> None:
    await federation.control.apply(NAMESPACES, {"metadata": {"name": "db"}})
    await federation.propagate()
    await federation.template()
    await eventually(lambda: federation.members["m1"].get(NAMESPACES, "db"))
    assert await federation.control.list_all(RESOURCE_BINDINGS, "db") == []
    await federation.override({"m1": 3, "m2": 2})
    await federation.wait_distributed()
    assert (await federation.database("m1"))["spec"]["members"] == 3


async def test_hand_edits_of_a_member_are_taken_back_and_its_own_metadata_stays(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    edit = {
        "metadata": {"labels": {"own": "yes"}, "annotations": {"own": "yes"}, "finalizers": ["example.org/own"]},
        "spec": {"members": 9, "extra": True},
    }
    await federation.members["m1"].merge_patch(DATABASES, "orders", edit, namespace="db")
    reverted = await eventually(lambda: _with_spec(federation, "m1", {"members": 3, "rsInit": False}))
    assert labels_of(reverted)["own"] == annotations_of(reverted)["own"] == "yes"
    assert finalizers_of(reverted) == ["example.org/own"]
    await federation.members["m1"].merge_patch(DATABASES, "orders", {"metadata": {"finalizers": None}}, namespace="db")


async def test_an_object_deleted_by_hand_in_a_member_is_created_again(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    before = uid_of(await federation.database("m1"))
    await federation.members["m1"].delete(DATABASES, "orders", namespace="db")

    async def another() -> bool:
        return uid_of(await federation.database("m1")) != before

    await eventually(another)


async def test_a_cluster_without_a_rule_and_a_deleted_override_policy_give_the_template_as_it_is(federation: Federation) -> None:
    await federation.distribute()
    await federation.override({"m1": 3, "nowhere": 1})
    await federation.wait_distributed()
    await eventually(lambda: _with_spec(federation, "m2", {"members": 5, "rsInit": False}))
    assert (await federation.database("m1"))["spec"]["members"] == 3
    await federation.control.delete(OVERRIDE_POLICIES, "orders", namespace="db")
    await eventually(lambda: _with_spec(federation, "m1", {"members": 5, "rsInit": False}))


async def test_an_override_of_a_missing_path_holds_up_one_cluster_and_only_an_event_tells(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    await federation.control.json_patch(
        OVERRIDE_POLICIES,
        "orders",
        [
            {"op": "replace", "path": "/spec/overrideRules/0/overriders/plaintext/0/path", "value": "/spec/none"},
            {"op": "replace", "path": "/spec/overrideRules/1/overriders/plaintext/0/value", "value": 4},
        ],
        namespace="db",
    )
    await eventually(lambda: _with_spec(federation, "m2", {"members": 4, "rsInit": False}))
    assert (await federation.database("m1"))["spec"]["members"] == 3
    conditions = {item["type"]: item["status"] for item in (await federation.binding())["status"]["conditions"]}
    assert conditions["FullyApplied"] == "True"

    async def told() -> bool:
        events = await federation.control.list_all(EVENTS, "db")
        return any(event["reason"] == "ApplyOverridePolicyFailed" and "/spec/none" in event["note"] for event in events)

    await eventually(told)


async def test_no_cluster_fit_empties_the_binding_and_preserve_keeps_the_objects(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    await federation.propagate(clusters=("nowhere",))

    async def emptied() -> dict[str, Any] | None:
        binding = await federation.binding()
        scheduled = {item["type"]: item for item in binding["status"]["conditions"]}
        return scheduled if "clusters" not in binding["spec"] and scheduled["FullyApplied"]["status"] == "False" else None

    conditions = await eventually(emptied)
    assert (conditions["Scheduled"]["status"], conditions["Scheduled"]["reason"]) == ("False", "NoClusterFit")
    assert conditions["Scheduled"]["message"].startswith("0/2 clusters are available: 2 cluster(s) did not match")
    for member in ("m1", "m2"):
        await eventually(lambda member=member: _unmanaged(federation, member))  # type: ignore[misc]
        await gone(lambda member=member: federation.work(member))  # type: ignore[misc]


async def test_a_deleted_policy_leaves_binding_and_members_and_a_new_one_takes_them_over(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    await federation.control.delete(PROPAGATION_POLICIES, "orders", namespace="db")
    await gone(lambda: federation.control.get(PROPAGATION_POLICIES, "orders", "db"))
    binding = await federation.binding()
    assert "propagationpolicy.karmada.io/permanent-id" not in labels_of(binding)
    assert [target["name"] for target in binding["spec"]["clusters"]] == ["m1", "m2"]
    assert (await federation.database("m1"))["spec"]["members"] == 3
    await federation.propagate(clusters=("m1",))
    await eventually(lambda: _unmanaged(federation, "m2"))


async def test_a_policy_keeps_its_id_and_its_scheduler(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    policy = await federation.control.get(PROPAGATION_POLICIES, "orders", "db")

    async def refused(changes: dict[str, Any]) -> bool:
        try:
            await federation.control.merge_patch(PROPAGATION_POLICIES, "orders", changes, namespace="db")
        except ApiError as error:
            return error.status == 422
        return False

    mark = {"propagationpolicy.karmada.io/permanent-id": "other"}
    assert await refused({"metadata": {"labels": mark}})
    assert await refused({"metadata": {"labels": None}})
    assert await refused({"spec": {"schedulerName": "other"}})
    assert labels_of(await federation.control.get(PROPAGATION_POLICIES, "orders", "db")) == labels_of(policy)
    await federation.propagate(preserve=False)


async def _set_status(federation: Federation, member: str, status: dict[str, Any]) -> None:
    await federation.members[member].merge_patch(DATABASES, "orders", {"status": status}, namespace="db", subresource="status")


async def _item(federation: Federation, member: str) -> dict[str, Any] | None:
    items = (await federation.binding())["status"].get("aggregatedStatus") or ()
    return next((dict(item) for item in items if item["clusterName"] == member), None)


async def _aggregated(federation: Federation, member: str, **fields: Any) -> dict[str, Any]:
    async def so() -> dict[str, Any] | None:
        item = await _item(federation, member)
        return item if item is not None and all(item.get(field) == value for field, value in fields.items()) else None

    return await eventually(so)


async def _with_spec(federation: Federation, member: str, spec: dict[str, Any]) -> KubeObject | None:
    database = await federation.database(member)
    return database if database["spec"] == spec else None


async def _unmanaged(federation: Federation, member: str) -> bool:
    return "karmada.io/managed" not in labels_of(await federation.database(member))
