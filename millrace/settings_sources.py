"""Where settings are set: the configuration file, the environment, the command line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from millrace.errors import UsageError

PREFIX = "MILLRACE_"
CONFIG = "MILLRACE_CONFIG"
"""The variable that names the configuration file."""

_OTHER_VARIABLES = frozenset(
    f"{PREFIX}{name}" for name in ("CONFIG", "DEBUG", "URL", "API_KEY", "FAILPOINTS", "VENV")
)


def variable(field: str) -> str:
    """The environment variable that sets a field."""
    return f"{PREFIX}{field.upper()}"


def is_variable(field: str) -> bool:
    """Whether the environment sets a field; an empty variable sets nothing."""
    return bool(os.environ.get(variable(field)))


def config_file() -> Path | None:
    """The configuration file of this process; `UsageError` where it is named and cannot be read."""
    named = os.environ.get(CONFIG)
    if not named:
        return None
    path = Path(named).expanduser().absolute()
    if not path.is_file():
        raise UsageError(
            "CONFIG_NOT_FOUND",
            f"there is no configuration file {path}",
            f"correct --config or {CONFIG}, or leave it away",
        )
    return path


def keys_of(path: Path) -> dict[str, object]:
    """What a configuration file sets; `UsageError` with the line where it is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError("CONFIG_INVALID", f"{path} is not TOML: {error}") from None
    except OSError as error:
        raise UsageError("CONFIG_UNREADABLE", f"cannot read {path}: {error.strerror}") from None


def line_of(path: Path, key: str) -> int:
    """The line that sets a top-level key or opens a table of that name; 1 where none is found."""
    opening = re.compile(rf"""\s*\[?\s*["']?{re.escape(key)}["']?\s*[]=.]""")
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return next((number for number, line in lines if opening.match(line)), 1)


def unknown_variables(environment: Mapping[str, str], fields: Collection[str]) -> Iterator[str]:
    """One sentence for each variable with our prefix that sets nothing."""
    known = {variable(name) for name in fields} | _OTHER_VARIABLES
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            yield f"{name}: no such setting{suggestion(name.upper(), known)}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """``"; did you mean X?"`` where something known looks like the name, else nothing."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""
