"""`fedstate local`: the whole system on this machine. Parses and prints; `fedstate.local` does the work."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import click

from fedstate import __version__
from fedstate.cli.progress import Output, Progress
from fedstate.cli.table import table
from fedstate.errors import FedstateError
from fedstate.local import chaos, create, demo, install, lifecycle, status
from fedstate.local.layout import CONTROL_PLANE, InstanceSpec, Layout, context_of, layout_of, read_instance
from fedstate.local.mongod import Mongod, find_mongod
from fedstate.local.spec import Engine
from fedstate.local.writer import writing

HEALTHY_TIMEOUT = 180.0
FAILOVER_TIMEOUT = 60.0

name_option = click.option("--name", default="default", show_default=True, help="Name of the local instance.")
engine_option = click.option(
    "--engine", type=click.Choice(["embedded", "kubernetes"]), show_default="embedded, or as before",
    help="API servers: FedState's embedded ones, or real etcd and kube-apiserver from KUBEBUILDER_ASSETS.",
)  # fmt: skip
clusters_option = click.option(
    "--clusters", type=click.IntRange(1, 9), show_default="3, or as before", help="Number of member clusters."
)
members_option = click.option(
    "--members", type=click.IntRange(1, 50), default=5, show_default=True, help="Members of the demo instance."
)
mongod_option = click.option(
    "--mongod",
    type=click.Path(dir_okay=False),
    help="The mongod to run (default: FEDSTATE_MONGOD, else PATH, else the installed wheel).",
)
output_option = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", help="Progress as text or as one JSON object a line."
)


@click.group("local")
def local() -> None:
    """The whole system on this machine, without containers."""


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command; an error we know becomes one message and exit status 1, Ctrl-C or SIGTERM an orderly end and 130."""
    try:
        asyncio.run(_interruptible(work))
    except* FedstateError as group:
        raise click.ClickException("\n".join(str(error) for error in _leaves(group))) from None
    except* (KeyboardInterrupt, asyncio.CancelledError):
        raise SystemExit(130) from None


async def _interruptible(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    await task


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _wanted(
    name: str, engine: Engine | None, sizes: Sequence[create.ClusterSize], any_storage_class: bool, mongod: str | None
) -> tuple[create.Wanted, Mongod]:
    found = find_mongod(mongod)
    wanted = create.Wanted(
        name=name,
        engine=engine,
        clusters=sizes,
        any_storage_class=any_storage_class,
        mongod=found.path,
        mongod_version=found.version,
    )
    return wanted, found


def _headline(progress: Progress, layout: Layout, mongod: Mongod) -> None:
    progress.line(f"fedstate {__version__} · local mode · data in {layout.directory} · mongod {mongod.version} ({mongod.origin})")


async def _bring_up(progress: Progress, layout: Layout, *, detached: bool, ephemeral: bool = False) -> subprocess.Popen[bytes]:
    supervisor = lifecycle.start(layout, detached=detached, ephemeral=ephemeral)
    try:
        async for phase in lifecycle.follow(layout, supervisor):
            progress.done(phase.text, phase.detail, phase.seconds)
    except BaseException:
        await lifecycle.end(layout, supervisor)
        raise
    return supervisor


async def _demo_instance(progress: Progress, layout: Layout, instance: InstanceSpec, members: int) -> dict[str, Any]:
    specs = create.cluster_specs(layout, instance)
    async with install.client_of(specs[CONTROL_PLANE]) as client:
        async with progress.phase(f"Instance {demo.NAMESPACE}/{demo.NAME}", f"{members} members") as phase:
            await demo.create(client, members)
            healthy = await demo.wait_healthy(client, members=members, timeout=HEALTHY_TIMEOUT)
            primary = demo.primary_of(healthy)
            phase.detail = (
                f"{members}/{members} members healthy, primary {primary.cluster} {primary.address}" if primary else "no primary"
            )
        return healthy


@local.command("up")
@name_option
@engine_option
@clusters_option
@members_option
@mongod_option
@output_option
@click.option(
    "--cluster",
    "sized",
    multiple=True,
    metavar="NAME[,nodes=N][,cpu=Q][,memory=Q][,region=R][,zone=Z]",
    help="A member cluster; repeat it. Replaces --clusters.",
)
@click.option("--no-demo", is_flag=True, help="Do not create the instance demo/orders.")
@click.option("-d", "--detach", is_flag=True, help="Return when all is up; `local down` ends it.")
@click.option("--any-storage-class", is_flag=True, help="Provide volumes for storage classes that the clusters do not have.")
def up(
    name: str, engine: Engine | None, clusters: int | None, members: int, mongod: str | None, output: Output, sized: tuple[str, ...], no_demo: bool,
    detach: bool, any_storage_class: bool,
) -> None:  # fmt: skip
    """Start a control plane and member clusters; a second `up` goes on with what is there."""

    async def work() -> None:
        layout, progress = layout_of(name), Progress(output=output)
        sizes = [create.parse_size(text) for text in sized] or list(create.default_sizes(clusters or 0))
        if lifecycle.running(layout):
            create.require_same(layout, read_instance(layout), engine=engine, clusters=sizes)
            progress.line(f"local instance {name!r} runs already, in {layout.directory}")
            return
        wanted, found = _wanted(name, engine, sizes, any_storage_class, mongod)
        _headline(progress, layout, found)
        instance = create.create(layout, wanted)
        supervisor = await _bring_up(progress, layout, detached=detach)

        async def rest() -> None:
            if not no_demo:
                await _demo_instance(progress, layout, instance, members)
            _next_steps(progress, layout, instance, demo_there=not no_demo, detached=detach)

        if detach:
            await rest()
            lifecycle.let_go(supervisor)
            return
        async with lifecycle.stopped_at_the_end(layout, supervisor):
            await rest()
            await asyncio.to_thread(supervisor.wait)

    run(work())


def _next_steps(progress: Progress, layout: Layout, instance: InstanceSpec, *, demo_there: bool, detached: bool) -> None:
    suffix = "" if instance.name == "default" else f" --name {instance.name}"
    progress.line("")
    progress.line(f"Use    export KUBECONFIG={layout.kubeconfig}")
    progress.line(
        f"Try    kubectl get mcm -A          (a member: kubectl --context {context_of(instance.clusters[0], instance=instance.name)} get pods -A)"
    )
    if demo_there:
        progress.line(f"       fedstate local chaos kill-member primary{suffix}   # watch a failover")
    end = f"fedstate local down{suffix} deletes everything"
    progress.line(f"Stop   {end}" if detached else f"Stop   Ctrl-C keeps the data · {end}")


@local.command("down")
@name_option
@click.option("--keep-data", is_flag=True, help="Stop everything, but keep it for the next `up`.")
def down(name: str, keep_data: bool) -> None:
    """Stop everything and delete all that local mode wrote."""

    async def work() -> None:
        layout = layout_of(name)
        if keep_data:
            ran = await lifecycle.stop(layout)
            click.echo(
                f"local instance {name!r} {'stopped, its data are in ' + str(layout.directory) if ran else 'did not run'}",
                err=True,
            )
            return
        removed = await lifecycle.remove(layout)
        click.echo(f"local instance {name!r} {'stopped and removed' if removed else 'does not exist, nothing to do'}", err=True)

    run(work())


@local.command("status")
@name_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="For people, or for programs.")
def show_status(name: str, output: str) -> None:
    """What runs: clusters, operators, instances."""

    async def work() -> None:
        layout = layout_of(name)
        report = await status.report(layout, read_instance(layout))
        if output == "json":
            click.echo(json.dumps(report, indent=2))
            return
        click.echo(f"local instance {report['name']}: {report['state']} · engine {report['engine']} · {report['directory']}\n")
        click.echo(table(["CLUSTER", "READY", "SERVER", "VIP", "NODES", "OPERATOR"], [
            [c["name"], c["ready"], c["server"], c["vip"] or "-", str(c["nodes"]), c["operator"]] for c in report["clusters"]
        ]))  # fmt: skip
        if report["instances"]:
            click.echo("\n" + table(["NAMESPACE", "INSTANCE", "STATE", "MEMBERS", "PRIMARY"], [
                [i["namespace"], i["name"], i["state"], i["members"], i["primary"]] for i in report["instances"]
            ]))  # fmt: skip

    run(work())


@local.command("kubeconfig")
@name_option
@click.argument("cluster", required=False)
def kubeconfig(name: str, cluster: str | None) -> None:
    """Print the kubeconfig: all clusters', or one that has CLUSTER as its current context."""
    layout = layout_of(name)
    try:
        instance = read_instance(layout)
        text = layout.kubeconfig.read_text()
        if cluster is not None:
            text = status.kubeconfig_of(text, instance, cluster)
    except FedstateError as error:
        raise click.ClickException(str(error)) from None
    click.echo(text, nl=False)


@local.command("logs")
@name_option
@click.argument("cluster", required=False)
@click.option(
    "--of",
    "part",
    type=click.Choice(["operator", "cluster"]),
    default="operator",
    show_default=True,
    help="The operator's log, or the cluster's own.",
)
@click.option("--tail", "lines", type=click.IntRange(0), default=100, show_default=True, help="Lines from the end.")
@click.option("-f", "--follow", is_flag=True, help="Go on as the log grows.")
def logs(name: str, cluster: str | None, part: str, lines: int, follow: bool) -> None:
    """Print a log: of CLUSTER's operator (default: the control plane's), or of the cluster itself."""
    layout = layout_of(name)
    try:
        instance = read_instance(layout)
        path = status.log_of(layout, instance, cluster or CONTROL_PLANE, part)
    except FedstateError as error:
        raise click.ClickException(str(error)) from None
    argv = ["tail", f"-n{lines}", *(["-f"] if follow else []), str(path)]
    os.execvp(argv[0], argv)  # noqa: S606


@local.group("chaos")
def chaos_group() -> None:
    """Faults on purpose: real signals to real processes."""


def _chaos(name: str, work: Callable[[Layout, InstanceSpec], Awaitable[str]]) -> None:
    async def act() -> None:
        layout = layout_of(name)
        click.echo(await work(layout, read_instance(layout)))

    run(act())


@chaos_group.command("kill-member")
@name_option
@click.option("-n", "--namespace", default=demo.NAMESPACE, show_default=True, help="Namespace of the database.")
@click.option("--instance", "instance_name", default=demo.NAME, show_default=True, help="Name of the database.")
@click.argument("member", default="primary")
def kill_member(name: str, namespace: str, instance_name: str, member: str) -> None:
    """Kill the process of MEMBER: `primary` (default), or an address as in status.externalAddr."""

    async def work(layout: Layout, instance: InstanceSpec) -> str:
        return await demo.kill_member(layout, instance, namespace=namespace, name=instance_name, member=member)

    _chaos(name, work)


@chaos_group.command("kill-operator")
@name_option
@click.argument("cluster", default=CONTROL_PLANE)
def kill_operator(name: str, cluster: str) -> None:
    """Kill the operator of CLUSTER (default: the control plane's)."""

    async def work(layout: Layout, instance: InstanceSpec) -> str:
        return chaos.kill_operator(layout, instance, cluster)

    _chaos(name, work)


@chaos_group.command("kill-cluster")
@name_option
@click.argument("cluster")
def kill_cluster(name: str, cluster: str) -> None:
    """Kill everything of member CLUSTER and keep it down."""
    _chaos(name, lambda layout, instance: chaos.kill_cluster(layout, instance, cluster))


@chaos_group.command("restore-cluster")
@name_option
@click.argument("cluster")
def restore_cluster(name: str, cluster: str) -> None:
    """Bring a killed CLUSTER back with its data."""
    _chaos(name, lambda layout, instance: chaos.restore_cluster(layout, instance, cluster))


@local.command("demo")
@engine_option
@clusters_option
@members_option
@mongod_option
@output_option
@click.option("--no-chaos", is_flag=True, help="Do not kill the primary.")
@click.option("--stay", is_flag=True, help="Keep everything up at the end, as `local up --detach` does.")
def run_demo(
    engine: Engine | None, clusters: int | None, members: int, mongod: str | None, output: Output, no_chaos: bool, stay: bool
) -> None:
    """The main job in a minute: three clusters, one database over them, a write, a lost primary; then all is removed."""

    async def work() -> None:
        name = f"demo-{secrets.token_hex(3)}"
        layout, progress = layout_of(name), Progress(output=output)
        wanted, found = _wanted(name, engine, create.default_sizes(clusters or 0), True, mongod)
        _headline(progress, layout, found)
        await lifecycle.remove_abandoned(layout.directory.parent)
        lifecycle.own(layout)
        try:
            instance = create.create(layout, wanted)
            supervisor = await _bring_up(progress, layout, detached=stay, ephemeral=not stay)
            await _show(progress, layout, instance, members, chaos_too=not no_chaos)
            if stay:
                lifecycle.disown(layout)
                lifecycle.let_go(supervisor)
                _next_steps(progress, layout, instance, demo_there=True, detached=True)
                return
        except BaseException:
            await lifecycle.remove(layout)
            raise
        async with progress.phase("Stopped and removed"):
            await lifecycle.remove(layout)

    run(work())


async def _show(progress: Progress, layout: Layout, instance: InstanceSpec, members: int, *, chaos_too: bool) -> None:
    healthy = await _demo_instance(progress, layout, instance, members)
    click.echo(
        "\n" + table(["CLUSTER", "ADDRESS", "ROLE"], [[m.cluster, m.address, m.role] for m in demo.members_of(healthy)]) + "\n"
    )
    specs = create.cluster_specs(layout, instance)
    async with install.client_of(specs[CONTROL_PLANE]) as client, writing(await demo.uri_of(client, healthy)) as writer:
        progress.done(
            "Write acknowledged by a majority", f"through status.externalAddr, {members} addresses", writer.first_seconds
        )
        if not chaos_too:
            return
        async with progress.phase("Primary killed") as phase:
            since = time.monotonic()
            phase.detail = await demo.kill_member(layout, instance, namespace=demo.NAMESPACE, name=demo.NAME, member="primary")
        async with progress.phase("New primary") as phase:
            after = await demo.wait_new_primary(client, healthy, timeout=FAILOVER_TIMEOUT)
            await writer.wait_acknowledged(FAILOVER_TIMEOUT)
            primary = demo.primary_of(after)
            assert primary is not None
            phase.detail = f"{primary.cluster} {primary.address}, writes were away for {writer.longest_gap(since):.1f} s"
        missing = await writer.missing()
        if missing:
            raise FedstateError(f"{len(missing)} acknowledged documents were lost")
        progress.done("Acknowledged documents read back", f"{len(writer.acknowledged)} written, none lost", 0.0)


if __name__ == "__main__":
    sys.exit(local())
