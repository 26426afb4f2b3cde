"""What people read: one line for an error, JSON for programs, plain tables for lists."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def complain(code: str, message: str, hint: str = "") -> None:
    """One line on standard error, and one with what to do."""
    print(f"millrace: {' '.join(message.split())} [{code}]", file=sys.stderr)
    if hint:
        print(f"          {hint}", file=sys.stderr)


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
