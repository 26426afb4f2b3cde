"""``millrace verify``: can these results be trusted?"""

from __future__ import annotations

from typing import Annotated

import typer


def verify(
    output: Annotated[str, typer.Argument(help="The folder that a job wrote to.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> int:
    """Check results from outside: each row exactly once, each byte as published."""
    from millrace import storage, verification
    from millrace.cli.console import complain, say, show_json
    from millrace.cli.equipment import equipped
    from millrace.errors import InvalidInput

    equipped()
    uri = storage.normalise(output)
    verdict = verification.verify(uri)
    rows = verdict.manifest.rows
    if as_json:
        show_json(
            {
                "ok": not verdict.faults,
                "output": uri,
                "rows": rows.model_dump(),
                "parts": len(verdict.manifest.parts),
                "faults": list(verdict.faults),
                "notes": list(verdict.notes),
            }
        )
    else:
        for fault in verdict.faults:
            complain("FAULT", fault)
        for note in verdict.notes:
            say(f"note: {note}")
    if verdict.faults:
        return InvalidInput.exit_code
    if not as_json:
        say(
            f"ok: {rows.input:,} rows = {rows.ok:,} results + {rows.errors:,} errors, "
            f"each once; {len(verdict.manifest.parts):,} parts match their checksums"
        )
    return 0
