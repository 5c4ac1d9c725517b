"""`fedstate version`."""

import click

from fedstate import __version__


@click.command("version")
def version() -> None:
    """Print the version."""
    click.echo(f"fedstate {__version__}")
