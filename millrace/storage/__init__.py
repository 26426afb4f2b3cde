"""Bytes in and out: one implementation per scheme behind the seam of `millrace.storage.base`.

`uri.normalise` turns what people type into an absolute URI; `for_uri` finds who serves it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, cast

from millrace import catalog
from millrace.errors import InvalidInput, NotFound
from millrace.storage.uri import SCHEMES, join, normalise, scheme_of

if TYPE_CHECKING:
    from millrace.storage.base import Storage

__all__ = ["for_uri", "normalise", "probe_output"]


def for_uri(uri: str) -> Storage:
    """The storage that serves `uri`; `InvalidInput` lists the schemes that there are."""
    return cast("Storage", catalog.load(SCHEMES[scheme_of(uri)])())


def probe_output(uri: str) -> None:
    """Write an object below a folder and delete it again, as a job will have to.

    `InvalidInput` OUTPUT_NOT_WRITABLE tells why that cannot be done; `Unavailable` where it may be
    possible later.
    """
    store, probe = for_uri(uri), join(uri, f"_probe-{secrets.token_hex(8)}")
    try:
        store.put_once(probe, b"")
        store.delete(probe)
    except (InvalidInput, NotFound) as error:
        raise InvalidInput(
            "OUTPUT_NOT_WRITABLE", f"cannot write to {uri}: {error.message}", error.hint
        ) from error
