"""Every command of the command line explains itself and stands in the README."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from millrace.cli.main import app
from millrace.settings import Settings

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


Command = tuple[tuple[str, ...], TyperCommand]


def commands(group: TyperGroup, *names: str) -> Iterator[Command]:
    """Each command that can be run, with the words that run it."""
    for name, each in group.commands.items():
        if isinstance(each, TyperGroup):
            yield from commands(each, *names, name)
        elif isinstance(each, TyperCommand) and not each.hidden:
            yield (*names, name), each


def every_command() -> list[Command]:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return list(commands(group, "millrace"))


def test_there_are_commands() -> None:
    assert ("millrace", "run") in [names for names, _ in every_command()]


def test_every_command_and_option_has_help() -> None:
    silent = [
        " ".join([*names, parameter.name or ""])
        for names, command in every_command()
        for parameter in command.params
        if isinstance(parameter, TyperOption) and not parameter.help
    ]
    assert not silent
    assert not [" ".join(names) for names, command in every_command() if not command.help]


def test_every_command_is_in_the_readme() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    missing = [
        " ".join(names)
        for names, _ in every_command()
        if not any(" ".join(names[:-1]) in line and names[-1] in line for line in lines)
    ]
    assert not missing


def test_every_setting_is_in_the_table() -> None:
    lines = (ROOT / "docs/howto/cluster.md").read_text(encoding="utf-8").splitlines()
    table = " ".join(line for line in lines if line.startswith("| `"))
    assert not [name for name in Settings.model_fields if f"`{name}`" not in table]


def test_help_imports_nothing_that_takes_long() -> None:
    slow = "{'sqlalchemy', 'pyarrow', 'boto3', 'celery', 'kombu', 'fastapi', 'pydantic'}"
    program = f"import sys, millrace.cli.main; print(*{slow} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
