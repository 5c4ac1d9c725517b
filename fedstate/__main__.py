"""argv to exit code: the command line, on the fastest event loop there is. Nothing else."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from fedstate.cli import cli


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs the coroutine on uvloop where there is one; everything works without."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(coroutine)


def main() -> None:
    """Entry point of `fedstate` and `kubectl fedstate`."""
    cli.main(prog_name="fedstate", obj=run)


def complete() -> None:
    """Entry point that kubectl calls for completions of `kubectl fedstate ...`: candidates, then cobra's directive."""
    from click.shell_completion import ShellComplete

    words = sys.argv[1:] or [""]
    found = ShellComplete(cli, {}, "fedstate", "_FEDSTATE_COMPLETE").get_completions(words[:-1], words[-1])
    for item in found:
        print(f"{item.value}\t{item.help}" if item.help else item.value)  # noqa: T201 - this is its output
    print(":4")  # noqa: T201 - ShellCompDirectiveNoFileComp


if __name__ == "__main__":
    main()
