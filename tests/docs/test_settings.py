"""docs/reference/settings.md is what the commands say of themselves."""

import re
from pathlib import Path

from fedstate.cli import COMMANDS
from tests.docs import settings

SOURCES = Path(settings.__file__).parents[2] / "fedstate"


def test_the_page_is_what_the_commands_say() -> None:
    assert settings.FILE.read_text() == settings.page(), "make docs writes it anew"


def test_every_variable_that_the_code_reads_is_on_the_page() -> None:
    read = {name for path in SOURCES.rglob("*.py") for name in re.findall(r"environ(?:\.get\(|\[)\s*\"(\w+)\"", path.read_text())}
    assert read == set(settings.OTHER_VARIABLES)


def test_every_option_says_what_it_is_for() -> None:
    silent = re.findall(r"^\| `--?[\w-]+.*\|\s*\|$", settings.page(), re.MULTILINE)
    assert not silent


def test_a_new_command_gets_a_section() -> None:
    assert set(COMMANDS) == {"run", "local", "version", "explain-placement"}, "describe the new command in tests/docs/settings.py"
