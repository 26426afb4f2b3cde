"""How a key is written: ``mr_<id>_<secret>_<checksum>``.

The id names the key and is no secret, the secret has 256 bits, and the checksum tells a typing
mistake from a wrong key without asking anybody.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_SIGNS = string.digits + string.ascii_lowercase
_ID_LENGTH, _SECRET_LENGTH, _CHECKSUM_LENGTH = 12, 43, 6
_FORM = re.compile(
    rf"(mr_([0-9a-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}}))"
    rf"_([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class KeyText:
    """The two halves of a key."""

    id: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls) -> KeyText:
        """A key that nobody has had before."""
        return cls(_random(_ID_SIGNS, _ID_LENGTH), _random(_BASE62, _SECRET_LENGTH))

    @classmethod
    def read(cls, text: str) -> KeyText | None:
        """The halves of a key that somebody typed; none where it cannot be a key of ours."""
        match = _FORM.fullmatch(text)
        if match is None or _checksum(match[1]) != match[4]:
            return None
        return cls(match[2], match[3])

    def written(self) -> str:
        """The whole key, as its owner is shown it once."""
        body = f"mr_{self.id}_{self.secret}"
        return f"{body}_{_checksum(body)}"

    def secret_sha256(self) -> str:
        """What is kept of it. The secret is random, so a slow hash would add nothing."""
        return hashlib.sha256(self.secret.encode()).hexdigest()


def _random(signs: str, length: int) -> str:
    return "".join(secrets.choice(signs) for _ in range(length))


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits
