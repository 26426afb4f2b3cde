"""Every command of the command line explains itself and stands in the README."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from millrace.cli.main import app

README = Path(__file__).parents[1] / "README.md"


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
