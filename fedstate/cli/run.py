"""`fedstate run`: flags and environment into Settings. Starts nothing itself: the runner comes from `__main__`."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeAlias

import click

from fedstate import app, logs
from fedstate.cli.capacity import capacity_options, take_capacity
from fedstate.errors import FedstateError
from fedstate.settings import Component, Role, Settings, check_vip, components_from

# Runs a coroutine to its end on an event loop.
Runner: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]


def _option(flag: str, **attributes: Any) -> Callable[[Any], Any]:
    """An option that is also FEDSTATE_<FLAG>."""
    name = flag.split("/")[0].lstrip("-")
    return click.option(flag, envvar=f"FEDSTATE_{name.replace('-', '_').upper()}", show_envvar=True, **attributes)


@click.command("run")
@_option("--role", type=click.Choice([str(role) for role in Role]), required=True, help="Where this process works.")
@_option(
    "--components",
    multiple=True,
    metavar="NAME[,NAME]",
    help=f"Run these instead of the role's own components: {', '.join(Component)}.",
)
@_option("--kubeconfig", default="", metavar="FILE", help="Default: the pod's own cluster, else KUBECONFIG, else ~/.kube/config.")
@_option("--context", default="", help="Context of the kubeconfig; default: its current one.")
@_option("--cluster-name", default="", help="Name of this member cluster on the Karmada control plane.")
@_option("--vip", default="", metavar="ADDRESS", help="Address under which other clusters reach this one's node ports.")
@_option("--namespace", default="", help="Work in this namespace only; default: in all.")
@_option("--scheduler-profile", default="", metavar="FILE", help="YAML file with the scheduler's plugins and weights.")
@capacity_options(_option)
@_option(
    "--http-host",
    default="127.0.0.1",
    show_default=True,
    help="Address to serve /metrics, /healthz, /livez, /readyz at; in a pod 0.0.0.0, so that probes reach it.",
)
@_option("--http-port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes any free port.")
@_option(
    "--leader-elect/--no-leader-elect", default=True, show_default=True, help="Work only while holding the lease of the role."
)
@_option("--lease-namespace", default="", help="Where the lease is; default: the namespace of the credentials.")
@_option("--sync-timeout", type=click.FloatRange(min=1), default=120.0, show_default=True, help="Seconds to fill the caches in.")
@_option(
    "--log-format",
    type=click.Choice(logs.FORMATS),
    default="auto",
    show_default=True,
    help="auto: text at a terminal, else JSON, one object a line.",
)
@_option(
    "--log-level",
    type=click.Choice(logs.LEVELS),
    default="info",
    show_default=True,
    help="The least of what is logged, on stderr.",
)
@click.pass_obj
def run(runner: Runner, /, **said: Any) -> None:
    """Run FedState's components until SIGTERM or SIGINT."""
    logs.set_up(said["log_format"], said["log_level"])
    try:
        runner(app.run(_settings(said)))
    except FedstateError as error:
        raise click.ClickException(str(error)) from error
    except BaseExceptionGroup as group:
        errors = list(_leaves(group))
        if any(not isinstance(error, FedstateError) for error in errors):
            raise
        raise click.ClickException("; ".join(dict.fromkeys(str(error) for error in errors))) from group


def _settings(said: dict[str, Any]) -> Settings:
    role = Role(said["role"])
    components = components_from(role, said["components"])
    capacity = take_capacity(said)
    checked = {"role": role, "components": components, "vip": check_vip(said["vip"]), "capacity": capacity}
    return Settings(**said | checked)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
