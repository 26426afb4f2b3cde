"""Code that a user brought: importing it, and telling what went wrong in it in the user's terms."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType

from millrace.errors import ModelError

_OURS = str(Path(__file__).resolve().parents[1])
_NOT_USERS = (_OURS, *(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib")))
MESSAGE_CHARACTERS = 2_000


def load_class(reference: str, base: type | None = None) -> type:
    """Import ``file.py:Class`` or ``package.module:Class`` and return the class.

    Raises `ModelError` for a reference of another form, a file that is not there, code that does
    not import, a name that is no class or not a subclass of `base`.
    """
    where, colon, name = reference.rpartition(":")
    if not colon or not name.isidentifier():
        raise ModelError(
            "CLASS_REFERENCE",
            f"{reference!r} does not name a class",
            "give FILE.py:CLASS or PACKAGE.MODULE:CLASS",
        )
    found = getattr(_import(where), name, None)
    if not isinstance(found, type):
        raise ModelError(
            "CLASS_MISSING",
            f"there is no class {name!r} in {where}",
            "check the name after the colon",
        )
    if base is not None and not issubclass(found, base):
        raise ModelError(
            "CLASS_UNSUITABLE",
            f"{name} in {where} is not a subclass of {base.__module__}.{base.__name__}",
            f"write: class {name}({base.__name__})",
        )
    return found


def describe(error: BaseException) -> str:
    """Type and message of `error`, and the innermost line of the user's own code; no values."""
    text = "".join(traceback.format_exception_only(error)).strip()
    frames = [
        f"{os.path.basename(frame.filename)}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((*_NOT_USERS, "<"))
    ]
    place = f" (at {', called from '.join(reversed(frames[-3:]))})" if frames else ""
    return text[: MESSAGE_CHARACTERS - len(place)] + place


def _import(where: str) -> ModuleType:
    try:
        return (
            _import_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
        )
    except ModelError:
        raise
    # Whatever a module does at import time, the worker has to survive it.
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        raise ModelError(
            "CODE_IMPORT",
            f"{where} cannot be imported: {describe(error)}",
            "run it with python by itself to see more",
        ) from None


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModelError("CODE_MISSING", f"there is no file {str(path)!r}", "check the path")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(f"millrace_user_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
