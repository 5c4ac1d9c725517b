"""Pods as processes, through a real (embedded) API server."""

import os
import signal
from pathlib import Path

from fedstate.kube.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, SECRETS
from fedstate.local.processes import read_record
from tests.local.localcluster import NAMESPACE, is_ready, local_cluster, shell_pod, state_of

SLEEP = "trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done"


async def test_a_pod_runs_with_its_volumes_and_variables_and_ends_when_it_is_deleted(tmp_path: Path) -> None:
    async with local_cluster(tmp_path) as cluster:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": NAMESPACE},
            "stringData": {"key": "one"},
        }
        pod = shell_pod(
            "p", f"echo $WHO at $IP has $(cat /s/key) and $(cat /shared/from-init); touch /shared/up; {SLEEP}",
            volumes=[{"name": "s", "secret": {"secretName": "s"}}, {"name": "shared", "emptyDir": {}}],
            initContainers=[
                {"name": "i", "image": "anything:1", "command": ["sh", "-c", "echo init > /shared/from-init"],
                 "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]},
            ],
            container={
                "env": [
                    {"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                ],
                "volumeMounts": [{"name": "s", "mountPath": "/s"}, {"name": "shared", "mountPath": "/shared"}],
                "readinessProbe": {"exec": {"command": ["test", "-e", "/shared/up"]}, "periodSeconds": 1},
            },
        )  # fmt: skip
        await cluster.client.create(PODS, pod)
        assert 'secret "s" not found' in await cluster.until_event("p", "FailedMount")
        await cluster.client.create(SECRETS, secret)
        ready = await cluster.until_pod("p", is_ready)
        assert ready["status"]["phase"] == "Running"
        ip = ready["status"]["podIP"]
        assert await cluster.log("p") == f"p at {ip} has one and init\n"
        uid = ready["metadata"]["uid"]
        projected = tmp_path / "node" / "pods" / uid / "volumes" / "s" / "key"
        await cluster.client.merge_patch(SECRETS, "s", {"stringData": {"key": "two"}}, namespace=NAMESPACE)

        async def updated() -> bool:
            return bool(projected.read_text() == "two")

        await cluster.until(updated)
        await cluster.client.delete(PODS, "p", namespace=NAMESPACE)
        await cluster.until_gone(PODS, "p")

        async def swept() -> bool:
            return not projected.exists()

        await cluster.until(swept)


async def test_a_killed_container_is_restarted_at_once_and_then_with_patience(tmp_path: Path) -> None:
    async with local_cluster(tmp_path) as cluster:
        await cluster.client.create(PODS, shell_pod("p", f"echo run; {SLEEP}"))
        pod = await cluster.until_pod("p", is_ready)
        record = tmp_path / "node" / "pods" / pod["metadata"]["uid"] / "containers" / "main" / "process.pid"

        def kill() -> None:
            known = read_record(record)
            assert known is not None
            os.kill(known.pid, signal.SIGKILL)

        kill()
        pod = await cluster.until_pod("p", lambda p: state_of(p).get("restartCount") == 1 and is_ready(p))
        ended = state_of(pod)["lastState"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (137, "Error")
        assert await cluster.log("p", previous="true") == "run\n"
        kill()
        pod = await cluster.until_pod(
            "p", lambda p: (state_of(p)["state"].get("waiting") or {}).get("reason") == "CrashLoopBackOff"
        )
        assert "back-off 10s" in state_of(pod)["state"]["waiting"]["message"]


async def test_what_cannot_run_or_fits_nowhere_says_so_and_runs_when_there_is_room(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, cpu="1") as cluster:
        big = {"resources": {"requests": {"cpu": "700m"}}}
        for name in ("a", "b", "c"):
            await cluster.client.create(PODS, shell_pod(name, SLEEP, container=big))
        await cluster.client.create(PODS, shell_pod("x", "", container={"image": "nginx:1"}))

        async def refused() -> str | None:
            pods = [await cluster.get(PODS, name) for name in ("a", "b", "c")]
            waiting = [
                p for p in pods if p and any(c.get("reason") == "Unschedulable" for c in p["status"].get("conditions") or ())
            ]
            return waiting[0]["metadata"]["name"] if waiting and sum(is_ready(p) for p in pods if p) == 2 else None

        waiting = await cluster.until(refused)
        pod = await cluster.get(PODS, waiting)
        assert pod is not None
        assert pod["status"]["conditions"][0]["message"] == "0/2 nodes are available: 2 Insufficient cpu."
        await cluster.client.delete(PODS, next(n for n in ("a", "b", "c") if n != waiting), namespace=NAMESPACE)
        await cluster.until_pod(waiting, is_ready)
        pod = await cluster.until_pod(
            "x", lambda p: (state_of(p).get("state") or {}).get("waiting", {}).get("reason") == "ErrImagePull"
        )
        assert "nginx:1 cannot be run by a local node" in state_of(pod)["state"]["waiting"]["message"]


async def test_a_pod_that_ends_is_not_restarted_against_its_policy(tmp_path: Path) -> None:
    async with local_cluster(tmp_path) as cluster:
        await cluster.client.create(PODS, shell_pod("good", "echo done", restartPolicy="Never"))
        await cluster.client.create(PODS, shell_pod("bad", "exit 3", restartPolicy="Never"))
        await cluster.until_pod("good", lambda p: p["status"].get("phase") == "Succeeded")
        pod = await cluster.until_pod("bad", lambda p: p["status"].get("phase") == "Failed")
        assert state_of(pod)["state"]["terminated"]["exitCode"] == 3
        assert await cluster.log("good", timestamps="true", tailLines="1") != "done\n"


def claim(name: str, storage_class: str | None) -> dict[str, object]:
    spec: dict[str, object] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


async def test_claims_get_directories_that_go_with_them_and_unknown_classes_wait(tmp_path: Path) -> None:
    async with local_cluster(tmp_path) as cluster:
        await cluster.client.create(PERSISTENT_VOLUME_CLAIMS, claim("d", None))
        await cluster.client.create(PERSISTENT_VOLUME_CLAIMS, claim("u", "fast"))

        async def bound() -> object:
            found = await cluster.get(PERSISTENT_VOLUME_CLAIMS, "d")
            return found if found and (found.get("status") or {}).get("phase") == "Bound" else None

        found = await cluster.until(bound)
        assert found["spec"]["storageClassName"] == "standard"
        volume = found["spec"]["volumeName"]
        assert (tmp_path / "volumes" / volume).is_dir()
        await cluster.client.delete(PERSISTENT_VOLUME_CLAIMS, "d", namespace=NAMESPACE)
        await cluster.until_gone(PERSISTENT_VOLUMES, volume)
        assert not (tmp_path / "volumes" / volume).exists()
        assert await cluster.until_event("u", "ProvisioningFailed") == 'storageclass.storage.k8s.io "fast" not found'


async def test_with_any_storage_class_an_unknown_one_is_a_directory_too_and_says_so(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, any_storage_class=True) as cluster:
        await cluster.client.create(PERSISTENT_VOLUME_CLAIMS, claim("u", "fast"))
        assert '"fast" is not one of this local cluster' in await cluster.until_event("u", "StorageClassMapped")
