"""The entry point of ``millrace``: all commands, and the place where errors become exit codes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from millrace.cli import (
    api,
    db,
    doctor,
    jobs,
    keys,
    run,
    scheduler,
    submit,
    tenants,
    up,
    verify,
    worker,
    workers,
)
from millrace.cli.console import complain
from millrace.cli.interruption import INTERRUPTED
from millrace.errors import MillraceError
from millrace.settings_sources import CONFIG

app = typer.Typer(
    name="millrace",
    help="Batch inference over large datasets: each row exactly once in the results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    rich_markup_mode=None,
    cls=TyperGroup,
)


@app.callback()
def configure(
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
) -> None:
    if config is not None:
        os.environ[CONFIG] = str(config)


app.command("run")(run.run)
app.command("up")(up.up)
app.command("submit")(submit.submit)
app.add_typer(jobs.app, name="jobs")
app.command("verify")(verify.verify)
app.command("scheduler")(scheduler.scheduler)
app.command("worker")(worker.worker)
app.add_typer(workers.app, name="workers")
app.command("api")(api.api)
app.add_typer(keys.app, name="keys")
app.add_typer(tenants.app, name="tenants")
app.add_typer(db.app, name="db")
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run one command and exit with the code that `docs` list; a traceback is never shown."""
    sys.exit(_run(_config_first(sys.argv[1:])))


def _config_first(arguments: list[str]) -> list[str]:
    """``--config FILE`` before the command, wherever it was typed."""
    for place, each in enumerate(arguments):
        if each == "--config":
            ahead = arguments[place : place + 2]
            return [*ahead, *arguments[:place], *arguments[place + 2 :]]
        if each.startswith("--config="):
            return [each, *arguments[:place], *arguments[place + 1 :]]
    return arguments


def _run(arguments: list[str]) -> int:
    try:
        code = app(arguments, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except MillraceError as error:
        complain(error.code, error.message, error.hint)
        return error.exit_code
    except TyperException as error:
        complain("USAGE", _said(error), "millrace --help lists commands and options")
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("MILLRACE_DEBUG"):
            raise
        complain(
            "INTERNAL",
            f"something we did not foresee: {type(error).__name__}: {error}",
            "run it again with MILLRACE_DEBUG=1 and report what it shows",
        )
        return 1


def _said(error: TyperException) -> str:
    """What was wrong and with which option, on one line."""
    told = getattr(error, "format_message", error.__str__)()
    return " ".join(str(told).split())
