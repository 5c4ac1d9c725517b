"""docs/reference/settings.md, made from the commands themselves: `make docs` writes it anew.

Knows click's parameters, not what the commands do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from fedstate.cli import COMMANDS, cli
from fedstate.cli.local import local
from fedstate.cli.placement import explain_placement
from fedstate.cli.run import run

FILE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"

OTHER_VARIABLES = {
    "FEDSTATE_HOME": "Where local mode keeps everything it writes; default `~/.fedstate`.",
    "FEDSTATE_MONGOD": "The mongod that local mode runs, where `--mongod` does not name one.",
    "KUBEBUILDER_ASSETS": "Directory with `etcd`, `kube-apiserver` and `kube-controller-manager`, for `--engine kubernetes` and for tests;"
    " default `/usr/local/kubebuilder/bin`.",
    "KUBECONFIG": "Kubeconfig files of `fedstate run`, merged as kubectl merges them, where `--kubeconfig` names none.",
    "KUBERNETES_SERVICE_HOST": "Set by Kubernetes in every pod; with the pod's token it makes `fedstate run` speak to its own cluster.",
    "KUBERNETES_SERVICE_PORT": "Likewise.",
    "NO_COLOR": "Any value: progress of local mode is printed without colours.",
}
"""Variables that the code reads by itself; those of options are read off the options."""

_HEAD = """# Settings: commands, options, environment

<!-- Made by `make docs` from the commands themselves; a test compares. Do not edit by hand. -->

Every option of `fedstate run` can be given as an environment variable, too; the option goes first. In pods, use the variables.
"""


def page() -> str:
    """The whole file."""
    parts = [_HEAD, "## `fedstate`\n", _sentence(cli), _commands(), *_described("fedstate run", run)]
    parts += _described("fedstate explain-placement", explain_placement)
    for path, command in _walk("fedstate local", local):
        parts += _described(path, command)
    return "\n".join([*parts, "## Other environment variables\n", _variables()])


def _commands() -> str:
    rows = [f"| `fedstate {name}` | {text} |" for name, (_, _, text) in sorted(COMMANDS.items())]
    return "\n".join(
        ["| command | what it does |", "|---|---|", *rows, "", "`fedstate --version` prints the version as well.", ""]
    )


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            yield from _walk(f"{path} {name}", child)


def _described(path: str, command: click.Command) -> list[str]:
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    options = [one for one in command.params if isinstance(one, click.Option)]
    usage = " ".join(
        [path, *(f"[{one.human_readable_name}]" if not one.required else one.human_readable_name for one in arguments)]
    )
    parts = [f"## `{usage}`\n", _sentence(command)]
    with_variable = any(option.envvar for option in options)
    if options:
        columns = ["option", *(["variable"] if with_variable else []), "default", "meaning"]
        parts.append("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
        parts[-1] += "".join("\n| " + " | ".join(_row(option, with_variable)) + " |" for option in options) + "\n"
    return parts


def _row(option: click.Option, with_variable: bool) -> list[str]:
    flags = ", ".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))
    values = _values(option)
    variable = [f"`{option.envvar}`" if option.envvar else ""] if with_variable else []
    return [flags + (f" {values}" if values else ""), *variable, _default(option), option.help or ""]


def _values(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return " \\| ".join(f"`{choice}`" for choice in option.type.choices)
    text = (option.metavar or option.type.name.upper()).replace("|", "\\|")
    if isinstance(option.type, click.IntRange | click.FloatRange):
        low, high = option.type.min, option.type.max
        text = "NUMBER" + (f", {low:g} to {high:g}" if high is not None else f", at least {low:g}" if low is not None else "")
    return f"`{text}`" + (", may be repeated" if option.multiple else "")


def _default(option: click.Option) -> str:
    if option.required:
        return "required"
    if isinstance(option.show_default, str):
        return option.show_default
    # Without a context click may answer with a mark for "nothing said" of its own, which is no default anybody can give.
    default = option.get_default(click.Context(click.Command("any")), call=True)
    if option.is_flag:
        return f"`{option.opts[0] if default else option.secondary_opts[0]}`" if option.secondary_opts else ""
    return f"`{default}`" if isinstance(default, str | int | float) and default != "" else ""


def _sentence(command: click.Command) -> str:
    return (command.help or "").strip() + "\n"


def _variables() -> str:
    rows = [f"| `{name}` | {text} |" for name, text in sorted(OTHER_VARIABLES.items())]
    return "\n".join(["| variable | meaning |", "|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    FILE.write_text(page())
