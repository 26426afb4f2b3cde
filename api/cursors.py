"""Where the next page begins: a text that only its own key can use, and nobody can make up."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from api.problems import Refusal
from millrace.access.caller import Caller

_SEAL_BYTES = 16
_MOST_CHARACTERS = 256


def sealed(caller: Caller, place: str) -> str:
    """The cursor for a place in a list of this caller's."""
    content = place.encode()
    return base64.urlsafe_b64encode(_seal(caller, content) + content).decode().rstrip("=")


def opened(caller: Caller, cursor: str) -> str:
    """The place that a cursor stands for; `Refusal` for one that is not of this caller's making."""
    try:
        padded = cursor[:_MOST_CHARACTERS] + "=" * (-len(cursor) % 4)
        whole = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
        seal, content = whole[:_SEAL_BYTES], whole[_SEAL_BYTES:]
        if hmac.compare_digest(seal, _seal(caller, content)):
            return content.decode()
    except (binascii.Error, UnicodeError):
        pass
    raise Refusal(
        422,
        "CURSOR_INVALID",
        "after: this is no cursor of a list of yours",
        "take `next` of the page before as it is, with the same key, or begin without `after`",
        "after",
    )


def _seal(caller: Caller, content: bytes) -> bytes:
    return hmac.digest(caller.seal, content, hashlib.sha256)[:_SEAL_BYTES]
