"""The command line: one group whose sub-commands are imported when they are called, so that `--help` is fast."""

import importlib
from typing import Any

import click

from fedstate import __version__

COMMANDS = {
    "run": ("fedstate.cli.run", "run", "Run FedState's components: beside a Karmada control plane, or in a member cluster."),
    "local": ("fedstate.cli.local", "local", "The whole system on this machine, without containers."),
    "explain-placement": (
        "fedstate.cli.placement",
        "explain_placement",
        "Why an instance's members are where they are, cluster by cluster.",
    ),
    "version": ("fedstate.cli.version", "version", "Print the version."),
}


class LazyGroup(click.Group):
    """Sub-commands by module path. The short help stands here, because reading it there would import them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])


def _print_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> Any:
    if value and not ctx.resilient_parsing:
        click.echo(f"fedstate {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print the version.")
def cli() -> None:
    """Stateful middleware, MongoDB first, run across many Kubernetes clusters as one instance."""
