"""What people read: one line for an error, JSON for programs, plain tables for lists."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from millrace.telemetry import redact


def readable(text: str) -> str:
    """The same text on one line, local files as paths, the way they were typed, no passwords."""
    paths = re.sub(r"file://(/\S*)", lambda uri: unquote(uri[1]), text)
    return redact(" ".join(paths.split()))


def cell(name: str, value: Any) -> str:
    """A value of a summary for people: a share as per cent, numbers with commas."""
    if isinstance(value, float):
        return f"{value:.0%}" if name == "share" else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else readable(str(value))


def complain(code: str, message: str, hint: str = "") -> None:
    """One line on standard error, and one with what to do."""
    print(f"millrace: {readable(message)} [{code}]", file=sys.stderr)
    if hint:
        print(f"          {readable(hint)}", file=sys.stderr)


def say(text: str = "") -> None:
    print(text, flush=True)


def show_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table that fits the terminal; plain where there is none."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    console = Console(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 200)
    console.print(table)
