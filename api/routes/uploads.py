"""Uploading a file: the one route whose body is large, and no JSON."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect

from api.deps import FileWriter
from api.openai_schemas import FileAnswer
from api.problems import Refusal
from api.routing import router as new_router
from millrace.settings import Settings

router = new_router("/v1/files", "files")

_MEDIA_TYPE = "multipart/form-data"
_FRAME_BYTES = 64 << 10
"""What a form has around its file."""
_MOST_FIELDS = 8
_MOST_FIELD_BYTES = 4 << 10
_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file", "purpose"],
    "additionalProperties": False,
    "properties": {
        "file": {"type": "string", "format": "binary", "minLength": 1},
        "purpose": {"type": "string", "enum": ["batch"]},
    },
}


def body_limit(settings: Settings) -> int:
    """How large the body of an upload may be."""
    return settings.max_file_bytes + _FRAME_BYTES


@router.post(
    "",
    openapi_extra={"requestBody": {"required": True, "content": {_MEDIA_TYPE: {"schema": _FORM}}}},
)
async def upload_file(request: Request, shelf: FileWriter) -> FileAnswer:
    """Store a file of requests: JSON lines, with the purpose `batch`.

    It is written to disk as it arrives; in memory is never more than a block of it.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != _MEDIA_TYPE:
        raise Refusal(415, "MEDIA_TYPE", f"the body is {given[:80]!r}", f"send {_MEDIA_TYPE}")
    limits = {"max_fields": _MOST_FIELDS, "max_part_size": _MOST_FIELD_BYTES}
    try:
        form = await request.form(max_files=1, **limits)
    except ClientDisconnect:
        raise Refusal(400, "BODY_INCOMPLETE", "the body ended early", "send it again") from None
    try:
        file, purpose = _parts(form)
        name = PurePath(file.filename or "").name
        return FileAnswer.of(await run_in_threadpool(shelf.take, file.file, name, purpose))
    finally:
        await form.close()


def _parts(form: FormData) -> tuple[UploadFile, str]:
    """File and purpose, each of which is there once and alone."""
    for name in form:
        if name not in _FORM["properties"]:
            raise Refusal(
                422, "UNKNOWN_FIELD", f"there is no field {name[:80]!r}", "send file and purpose"
            )
        if len(form.getlist(name)) > 1:
            raise Refusal(422, "PARAMETER_TWICE", f"{name} is given twice", "give it once", name)
    file, purpose = form.get("file"), form.get("purpose")
    if not isinstance(file, UploadFile):
        raise Refusal(422, "FIELD_MISSING", "file: there is no file", "send one", "file")
    if not isinstance(purpose, str):
        raise Refusal(422, "FIELD_MISSING", "purpose: none is given", "send 'batch'", "purpose")
    return file, purpose
