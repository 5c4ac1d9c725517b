"""The process of one local cluster: its API server, what a cluster does by itself, its nodes; on the control plane, the Karmada stand-in.

Started as `python -m fedstate.local.cluster CLUSTER.JSON`; SIGTERM ends it in order, its pods first.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import uvloop

from fedstate.errors import FedstateError
from fedstate.kube.client import KubeClient
from fedstate.kube.config import cluster_config_from
from fedstate.local.anyclass import AnyStorageClass
from fedstate.local.apiserver import ApiServer, TlsFiles, User
from fedstate.local.controllers import EmbeddedControllers
from fedstate.local.karmada import KarmadaStandIn
from fedstate.local.kubernetes import KubernetesEngine
from fedstate.local.node import NodeAgent
from fedstate.local.spec import ClusterSpec, read_spec

logger = logging.getLogger(__name__)

Part: TypeAlias = KubernetesEngine | EmbeddedControllers | NodeAgent | KarmadaStandIn | AnyStorageClass


async def run_cluster(spec: ClusterSpec, stopping: asyncio.Event) -> None:
    """Run the cluster until `stopping` is set; raises if one of its parts cannot go on."""
    async with _api_server(spec) as engine:
        logger.info("the API server of %s answers at %s", spec.name, spec.server)
        config = cluster_config_from(spec.server, Path(spec.ca_cert).read_bytes(), spec.admin_token)
        async with KubeClient(config, user_agent=f"fedstate-local/{spec.name}", field_manager="fedstate-local") as client:
            try:
                async with asyncio.TaskGroup() as group:
                    for name, part in _parts(spec, client, engine):
                        group.create_task(part.run(), name=name)
                    group.create_task(_raise_when(stopping), name="stop")
            except* _Stopping:
                logger.info("cluster %s stops", spec.name)


class _Stopping(Exception):
    """Ends the task group: somebody asked for it."""


async def _raise_when(stopping: asyncio.Event) -> None:
    await stopping.wait()
    raise _Stopping


@asynccontextmanager
async def _api_server(spec: ClusterSpec) -> AsyncIterator[KubernetesEngine | None]:
    if spec.engine == "kubernetes":
        engine = KubernetesEngine(spec)
        try:
            await engine.start()
            yield engine
        finally:
            await engine.stop()
        return
    server = ApiServer(
        database=spec.directory / "store.db", host=spec.host, port=spec.port,
        tls=TlsFiles(cert=Path(spec.tls_cert), key=Path(spec.tls_key)),
        tokens={spec.admin_token: User(name="admin", groups=("system:masters", "system:authenticated"))},
        node_ports=range(spec.node_ports[0], spec.node_ports[1] + 1),
    )  # fmt: skip
    try:
        await server.start()
        yield None
    finally:
        await server.stop()


def _parts(spec: ClusterSpec, client: KubeClient, engine: KubernetesEngine | None) -> Sequence[tuple[str, Part]]:
    parts: list[tuple[str, Part]] = []
    if engine is None or not engine.has_controllers:
        parts.append(("controllers", EmbeddedControllers(client)))
    if engine is not None:
        parts.append(("engine", engine))
    if spec.role == "control-plane":
        parts.append(("karmada", KarmadaStandIn(client)))
    else:
        agent = NodeAgent(
            client, nodes=spec.nodes, vip=spec.vip, pod_prefix=spec.pod_prefix, data_dir=spec.directory,
            mongod=Path(spec.mongod) if spec.mongod else None, any_storage_class=spec.any_storage_class,
        )  # fmt: skip
        parts.append(("nodes", agent))
        if spec.any_storage_class:
            parts.append(("storage classes", AnyStorageClass(client)))
    return parts


async def _main(path: Path) -> None:
    spec = await asyncio.to_thread(read_spec, path)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await run_cluster(spec, stopping)


def main(arguments: Sequence[str]) -> int:
    """Exit status of the process: 0 after a wanted end, 1 with a sentence in the log otherwise."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    failed = False
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(Path(arguments[0])))
    except* FedstateError as group:
        failed = True
        for error in group.exceptions:
            logger.error("the cluster cannot go on: %s", error)  # noqa: TRY400
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
