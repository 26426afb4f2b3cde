"""The routers that every group of routes is made with."""

from __future__ import annotations

from fastapi import APIRouter

from api.strict_json import StrictRoute


def router(prefix: str, tag: str) -> APIRouter:
    """A router whose routes read JSON strictly."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=StrictRoute, redirect_slashes=False)
