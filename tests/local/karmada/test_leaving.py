"""What happens to a member's object when its cluster, its template or its policy goes, and when it comes back."""

from __future__ import annotations

from fedstate.api.karmada import CLUSTERS, WORKS
from fedstate.kube.errors import NotFound
from fedstate.kube.objects import KubeObject, annotations_of, deletion_timestamp_of, labels_of
from fedstate.kube.resources import EVENTS, NAMESPACES, SECRETS
from tests.local.karmada.federation import DATABASES, Federation, eventually, gone


async def test_a_cluster_left_out_keeps_its_object_without_karmadas_marks_and_abort_does_not_take_it_back(
    federation: Federation,
) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    await federation.propagate(clusters=("m1",))
    left = await eventually(lambda: _unmanaged(federation, "m2"))
    assert labels_of(left) == {"vip-of": "m2"}
    assert annotations_of(left) == {"work.karmada.io/conflict-resolution": "abort"}
    await gone(lambda: federation.work("m2"))
    await federation.propagate()
    item = await eventually(lambda: _refused(federation, "m2"))
    assert item == {
        "clusterName": "m2",
        "health": "Unknown",
        "appliedMessage": "Failed to apply all manifests (0/1): resource(kind=MongoDB, db/orders) already exists in the cluster m2 "
        "and the work.karmada.io/conflict-resolution strategy value is empty, Karmada will not manage this resource",
    }
    await federation.propagate(resolution="Overwrite")
    adopted = await eventually(lambda: _managed(federation, "m2"))
    assert adopted["metadata"]["uid"] == left["metadata"]["uid"]


async def test_a_deleted_template_leaves_preserved_objects(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    await federation.control.delete(DATABASES, "orders", namespace="db")
    await gone(federation.binding)
    for member in ("m1", "m2"):
        await eventually(lambda member=member: _unmanaged(federation, member))  # type: ignore[misc]
        await gone(lambda member=member: federation.work(member))  # type: ignore[misc]


async def test_a_namespace_deleted_on_the_control_plane_takes_policies_and_bindings_along_and_leaves_the_members(
    federation: Federation,
) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    await federation.control.delete(NAMESPACES, "db")
    await gone(lambda: federation.control.get(NAMESPACES, "db"))
    for member in ("m1", "m2"):
        await eventually(lambda member=member: _unmanaged(federation, member))  # type: ignore[misc]


async def test_preserve_switched_off_makes_a_deleted_template_take_the_member_objects_along(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    await federation.propagate(preserve=False)

    async def follows() -> bool:
        return (await federation.work("m1"))["spec"]["preserveResourcesOnDeletion"] is False

    await eventually(follows)
    await federation.control.delete(DATABASES, "orders", namespace="db")
    for member in ("m1", "m2"):
        await gone(lambda member=member: federation.database(member))  # type: ignore[misc]
    assert await federation.members["m1"].get(SECRETS, "orders-auth", "db")


async def test_a_preserving_work_whose_object_is_gone_stays_until_an_object_of_that_name_exists(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    await _cut_off(federation, "m2")
    await federation.control.delete(DATABASES, "orders", namespace="db")
    await gone(federation.binding)
    await federation.members["m2"].delete(DATABASES, "orders", namespace="db")
    await federation.join("m2")

    async def told() -> bool:
        events = await federation.control.list_all(EVENTS, "karmada-es-m2")
        return any(event["reason"] == "CleanupWorkFailed" and "not found" in event["note"] for event in events)

    await eventually(told)
    await federation.template()
    await eventually(lambda: _items(federation, "m1"))
    assert await _being_deleted(federation, "m2")
    assert await _items(federation, "m2") == []
    await federation.members["m2"].apply(DATABASES, {"metadata": {"name": "orders", "namespace": "db"}})
    await eventually(lambda: _refused(federation, "m2"))


async def test_a_member_object_that_is_itself_being_deleted_does_not_hold_its_work(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    own = {"metadata": {"finalizers": ["example.org/own"]}}
    await federation.members["m2"].merge_patch(DATABASES, "orders", own, namespace="db")
    await federation.members["m2"].delete(DATABASES, "orders", namespace="db")
    await federation.propagate(clusters=("m1",))
    await gone(lambda: federation.work("m2"))
    assert deletion_timestamp_of(await federation.database("m2"))
    await federation.members["m2"].merge_patch(DATABASES, "orders", {"metadata": {"finalizers": None}}, namespace="db")
    await gone(lambda: federation.database("m2"))


async def test_an_unjoined_cluster_loses_the_propagated_namespace_and_only_then_is_let_go(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    await federation.unjoin("m2")
    await gone(lambda: federation.control.get(CLUSTERS, "m2"))

    async def ended() -> bool:
        try:
            return deletion_timestamp_of(await federation.members["m2"].get(NAMESPACES, "db")) is not None
        except NotFound:
            return True

    await eventually(ended)
    assert await federation.database("m1")
    assert [target["name"] for target in (await federation.binding())["spec"]["clusters"]] == ["m1"]


async def test_a_namespace_work_set_to_preserve_keeps_the_namespace_when_unjoined(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    work = await federation.work("m2", "Namespace")
    patch = {"spec": {"preserveResourcesOnDeletion": True}}
    await federation.control.merge_patch(WORKS, work["metadata"]["name"], patch, namespace="karmada-es-m2")
    await federation.control.merge_patch(NAMESPACES, "db", {"metadata": {"labels": {"touched": "yes"}}})

    async def labelled() -> bool:
        return labels_of(await federation.members["m2"].get(NAMESPACES, "db")).get("touched") == "yes"

    await eventually(labelled)
    await federation.unjoin("m2")
    await gone(lambda: federation.control.get(CLUSTERS, "m2"))
    assert deletion_timestamp_of(await federation.members["m2"].get(NAMESPACES, "db")) is None
    assert await _unmanaged(federation, "m2")


async def test_reserved_and_skipped_namespaces_stay_at_home(federation: Federation) -> None:
    labels = {"namespace.karmada.io/skip-auto-propagation": "true"}
    await federation.control.apply(NAMESPACES, {"metadata": {"name": "skipped", "labels": labels}})
    await federation.control.apply(NAMESPACES, {"metadata": {"name": "zz"}})
    await eventually(lambda: federation.members["m1"].get(NAMESPACES, "zz"))
    works = await federation.control.list_all(WORKS, "karmada-es-m1")
    assert [work["spec"]["workload"]["manifests"][0]["metadata"]["name"] for work in works] == ["zz"]


async def _unmanaged(federation: Federation, member: str) -> KubeObject | None:
    database = await federation.database(member)
    return None if "karmada.io/managed" in labels_of(database) else database


async def _managed(federation: Federation, member: str) -> KubeObject | None:
    database = await federation.database(member)
    return database if "karmada.io/managed" in labels_of(database) else None


async def _cut_off(federation: Federation, member: str) -> None:
    """The control plane reaches the member no more, which lives on."""
    await federation.control.merge_patch(CLUSTERS, member, {"spec": {"apiEndpoint": "https://127.0.0.1:1"}})
    await federation.wait_ready(member, ready=False)


async def _items(federation: Federation, member: str) -> list[dict[str, object]]:
    items = ((await federation.binding()).get("status") or {}).get("aggregatedStatus") or ()
    return [dict(item) for item in items if item["clusterName"] == member]


async def _refused(federation: Federation, member: str) -> dict[str, object] | None:
    return next((item for item in await _items(federation, member) if item.get("appliedMessage")), None)


async def _being_deleted(federation: Federation, member: str) -> KubeObject | None:
    work = await federation.work(member)
    return work if deletion_timestamp_of(work) else None
