"""Bytes in and out: one implementation per scheme behind the seam of `millrace.storage.base`.

`uri.normalise` turns what people type into an absolute URI; `for_uri` finds who serves it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from millrace import catalog
from millrace.storage.uri import SCHEMES, normalise, scheme_of

if TYPE_CHECKING:
    from millrace.storage.base import Storage

__all__ = ["for_uri", "normalise"]


def for_uri(uri: str) -> Storage:
    """The storage that serves `uri`; `InvalidInput` lists the schemes that there are."""
    return cast("Storage", catalog.load(SCHEMES[scheme_of(uri)])())
