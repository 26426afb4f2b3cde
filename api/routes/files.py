"""Files in OpenAI's style: those that were uploaded, and those that batches have made."""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Any, Literal

from fastapi import Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from api.deps import FileReader, FileWriter
from api.openai_schemas import AfterFile, FileAnswer, FileDeleted, FileIdPath, FileList
from api.routing import router as new_router
from millrace.filing.files import Purpose

router = new_router("/v1/files", "files")

_BYTES = "application/octet-stream"
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON lines",
        "content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}},
    }
}


class FilePage(BaseModel):
    """Which files to list."""

    model_config = ConfigDict(extra="forbid")

    after: AfterFile = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 10_000
    order: Literal["asc", "desc"] = "desc"
    purpose: Purpose | None = None


@router.get("")
def list_files(shelf: FileReader, which: Annotated[FilePage, Query()]) -> FileList:
    """Files by the time at which they came, a page at a time."""
    found = shelf.page(
        limit=which.limit + 1,
        after=which.after,
        newest_first=which.order == "desc",
        purpose=which.purpose,
    )
    shown = [FileAnswer.of(each) for each in found[: which.limit]]
    return FileList(
        data=shown,
        first_id=shown[0].id if shown else None,
        last_id=shown[-1].id if shown else None,
        has_more=len(found) > which.limit,
    )


@router.get("/{file_id}")
def show_file(shelf: FileReader, file_id: FileIdPath) -> FileAnswer:
    """One file."""
    return FileAnswer.of(shelf.file(file_id))


@router.delete("/{file_id}")
def delete_file(shelf: FileWriter, file_id: FileIdPath) -> FileDeleted:
    """Remove a file for good; batches over it go on."""
    return FileDeleted(id=shelf.delete(file_id).id)


@router.get("/{file_id}/content", response_class=StreamingResponse, responses=_CONTENT)
def read_file(shelf: FileReader, file_id: FileIdPath) -> StreamingResponse:
    """The bytes of a file, as they were uploaded or made."""
    file, content = shelf.content(file_id)
    # The first block is read before anything is sent, so that what is wrong can still be told.
    first = next(content, b"")
    return StreamingResponse(
        chain((first,), content),
        media_type=_BYTES,
        headers={
            "Content-Length": str(file.bytes),
            "Content-Disposition": f'attachment; filename="{file.id}.jsonl"',
        },
    )
