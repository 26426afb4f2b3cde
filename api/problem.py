"""Problem details (RFC 9457) as a document."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FieldProblem(BaseModel):
    """One of several things that are wrong."""

    field: str
    code: str
    detail: str


class Problem(BaseModel):
    """Problem details (RFC 9457): what was refused, why, and what to do."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="A name for the kind of problem.")
    title: str
    status: int
    code: str = Field(description="Stable; the texts may change.")
    detail: str
    hint: str = Field(default="", description="What to do next.")
    field: str | None = Field(default=None, description="Where, if it is one field.")
    errors: list[FieldProblem] | None = Field(default=None, description="All, if several.")
    request_id: str = Field(description="Name it when you ask somebody for help.")
