"""What a route takes in its query, whichever of its dependencies asks for it."""

from __future__ import annotations

from collections import Counter
from typing import get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from pydantic.fields import FieldInfo

from api.problems import Refusal


def query_fields(dependant: Dependant) -> dict[str, FieldInfo]:
    """The parameters of the query by name."""
    found: dict[str, FieldInfo] = {}
    for each in dependant.query_params:
        shape = each.field_info.annotation
        found |= getattr(shape, "model_fields", {each.name: each.field_info})
    for inner in dependant.dependencies:
        found |= query_fields(inner)
    return found


def refuse_twins(request: Request, known: dict[str, FieldInfo]) -> None:
    """`Refusal` where a parameter that has one value is given twice: which one should count?"""
    given = Counter(name for name, _ in request.query_params.multi_items())
    for name, times in given.items():
        if times > 1 and name in known and get_origin(known[name].annotation) is not list:
            raise Refusal(
                422, "PARAMETER_TWICE", f"{name} is given {times} times", "give it once", name
            )
