"""A real mongod as a pod: started, reached through its node port, killed, and recreated with its data."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pymongo
import pytest

from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import PODS, SERVICES, STATEFUL_SETS
from fedstate.local.mongod import find_mongod
from fedstate.local.node.addresses import free_port
from fedstate.local.processes import read_record
from tests.local.localcluster import NAMESPACE, PREFIX, LocalCluster, is_ready, local_cluster, state_of


def member() -> KubeObject:
    container = {
        "name": "mongod",
        "image": "mongo:3.6",
        "command": ["mongod"],
        "args": ["--dbpath=/data/db", "--bind_ip_all", "--wiredTigerCacheSizeGB", "0.25"],
        "ports": [{"name": "mongo", "containerPort": 27017}],
        "readinessProbe": {"tcpSocket": {"port": "mongo"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data/db"}],
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [container]}}
    spec = {"serviceName": "x", "selector": {"matchLabels": {"app": "x"}}, "template": template, "volumeClaimTemplates": [claim]}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x", "namespace": NAMESPACE}, "spec": spec}


def service(port: int) -> KubeObject:
    spec = {"type": "NodePort", "selector": {"app": "x"}, "ports": [{"port": 27017, "targetPort": "mongo", "nodePort": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "namespace": NAMESPACE}, "spec": spec}


async def count(cluster: LocalCluster, port: int, *, insert: bool = False) -> int:
    def ask() -> int:
        with pymongo.MongoClient[Any](
            cluster.vip, port, directConnection=True, journal=True, serverSelectionTimeoutMS=5000
        ) as client:
            if insert:
                client.test.things.insert_one({"a": 1})
            return client.test.things.count_documents({})

    return await asyncio.to_thread(ask)


@pytest.mark.mongod
@pytest.mark.timeout(60)
async def test_a_mongod_pod_keeps_its_data_over_a_kill_and_a_deletion(tmp_path: Path) -> None:
    port = 30000 + free_port(f"{PREFIX}1") % 2768
    async with local_cluster(tmp_path, mongod=find_mongod().path) as cluster:
        await cluster.client.create(SERVICES, service(port))
        await cluster.client.create(STATEFUL_SETS, member())
        pod = await cluster.until_pod("x-0", is_ready)
        assert "image mongo:3.6 runs as mongod" in await cluster.until_event("x-0", "ImageMapped")
        assert await count(cluster, port, insert=True) == 1
        record = read_record(tmp_path / "node" / "pods" / pod["metadata"]["uid"] / "containers" / "mongod" / "process.pid")
        assert record is not None
        os.kill(record.pid, signal.SIGKILL)
        pod = await cluster.until_pod("x-0", lambda p: state_of(p)["restartCount"] == 1 and is_ready(p))
        assert await count(cluster, port) == 1
        await cluster.client.delete(PODS, "x-0", namespace=NAMESPACE)
        await cluster.until_pod("x-0", lambda p: p["metadata"]["uid"] != pod["metadata"]["uid"] and is_ready(p))
        assert await count(cluster, port) == 1
