"""`--any-storage-class` on the embedded API server: a class that an instance names comes into being, and is said."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fedstate.api.naming import MONGODBS
from fedstate.kube.resources import CUSTOM_RESOURCE_DEFINITIONS, STORAGE_CLASSES
from fedstate.local.anyclass import AnyStorageClass
from fedstate.local.install import documents, manifests
from tests.local.localcluster import NAMESPACE, local_cluster


async def test_a_class_that_an_instance_names_is_made_once_the_definition_is_there(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, agent=False) as cluster:
        running = asyncio.create_task(AnyStorageClass(cluster.client).run(), name="any class")
        try:
            for file in (manifests() / "crds").glob("mongodbs.yaml"):
                for document in documents(file):
                    await cluster.client.apply(CUSTOM_RESOURCE_DEFINITIONS, document)
            spec = {"members": 1, "persistence": {"storageClassName": "managed-nfs-storage"}}
            metadata = {"name": "db", "namespace": NAMESPACE}
            obj = {"apiVersion": MONGODBS.api_version, "kind": MONGODBS.kind, "metadata": metadata, "spec": spec}

            async def created() -> bool:
                return bool(await cluster.client.apply(MONGODBS, obj))

            await cluster.until(created)
            note = await cluster.until_event("db", "StorageClassMapped")
            made = await cluster.client.get(STORAGE_CLASSES, "managed-nfs-storage")
        finally:
            running.cancel()
            await asyncio.wait([running])
    assert made["provisioner"] == "local.fedstate.io"
    assert '"managed-nfs-storage" is not one of this local cluster' in note
