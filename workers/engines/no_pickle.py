"""Opening what a library would unpickle, without ever running the code that a pickle may hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Never
from unittest.mock import patch

from millrace.errors import ModelError


class _Refused(Exception):
    """Something that is more than plain tensors."""


@contextmanager
def no_pickle(name: str) -> Iterator[None]:
    """Have every `torch.load` of the block read weights only, and every `pickle.loads` refuse.

    `torch.export.load` falls back to a full unpickling of what is no plain tensor. `ModelError`
    MODEL_FORMAT_FORBIDDEN where the file `name` holds such a thing. Not for several threads.
    """
    import torch

    weights_only = partial(_load, torch.load)
    try:
        with patch.object(torch, "load", weights_only), patch("pickle.loads", _refuse):
            yield
    except _Refused:
        raise ModelError(
            "MODEL_FORMAT_FORBIDDEN",
            f"{name} holds a pickle that could run any code when it is opened",
            "export a module of plain tensors again, with torch.export.save",
        ) from None


def _load(load: Any, file: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return load(file, *arguments, **{**options, "weights_only": True})
    except Exception as error:
        raise _Refused from error


def _refuse(*_: object, **__: object) -> Never:
    raise _Refused
