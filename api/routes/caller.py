"""Who you are."""

from __future__ import annotations

from api.deps import AnyCaller
from api.routing import router as new_router
from millrace.answers import CallerAnswer

router = new_router("/v1/me", "keys")


@router.get("")
def show_caller(caller: AnyCaller) -> CallerAnswer:
    """Whose key this is, and what it is good for."""
    return CallerAnswer(tenant=caller.tenant, key_id=caller.key_id, scopes=sorted(caller.scopes))
