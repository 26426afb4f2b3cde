"""The entry point of ``millrace``: all commands, and the place where errors become exit codes."""

from __future__ import annotations

import os
import sys

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from millrace.cli import jobs, run, verify
from millrace.cli.console import complain
from millrace.errors import MillraceError

INTERRUPTED = 130

app = typer.Typer(
    name="millrace",
    help="Batch inference over large datasets: each row exactly once in the results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    rich_markup_mode=None,
    cls=TyperGroup,
)
app.command("run")(run.run)
app.command("verify")(verify.verify)
app.add_typer(jobs.app, name="jobs")


def main() -> None:
    """Run one command and exit with the code that `docs` list; a traceback is never shown."""
    sys.exit(_run(sys.argv[1:]))


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
