"""On whose behalf something is asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from millrace.access.scopes import Scope, grants
from millrace.errors import AccessDenied


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of a valid key; without `key_id`, an operator at the command line."""

    tenant: str
    scopes: frozenset[Scope]
    key_id: str | None = None
    seal: bytes = field(default=b"", repr=False, compare=False)
    """Only this key's, the same in every process: what it was handed out can be known again."""

    @property
    def sees_all(self) -> bool:
        """Whether the jobs of every tenant are theirs to see and to steer."""
        return Scope.ADMIN in self.scopes

    def may(self, scope: Scope) -> bool:
        return grants(self.scopes, scope)

    def require(self, scope: Scope) -> None:
        """`AccessDenied` names the scope that is missing."""
        if not self.may(scope):
            raise AccessDenied(
                "SCOPE_REQUIRED",
                f"this key has no scope {scope.value}",
                f"ask an operator for a key with it: millrace keys create --scope {scope.value}",
            )


def operator(tenant: str) -> Caller:
    """Somebody with the database at hand, who needs no key."""
    return Caller(tenant, frozenset({Scope.ADMIN}))
