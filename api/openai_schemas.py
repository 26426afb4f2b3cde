"""What the routes in OpenAI's style take and answer with, field by field as its clients know it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from millrace.filing.files import FileView
from millrace.front.openai.status import BatchStatus, Word

FileIdPath = Annotated[str, Path(description="A file's id.", max_length=64)]
BatchIdPath = Annotated[str, Path(description="A batch's id.", max_length=64)]
AfterFile = Annotated[
    str | None, Field(description="`last_id` of the page before.", pattern=r"^file-[0-9a-f]{32}$")
]
AfterBatch = Annotated[
    str | None, Field(description="`last_id` of the page before.", pattern=r"^batch_[0-9a-f]{32}$")
]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class FileAnswer(_Answer):
    """A file."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: None = None
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"] = "processed"
    status_details: None = None

    @classmethod
    def of(cls, file: FileView) -> FileAnswer:
        return cls(
            id=file.id,
            bytes=file.bytes,
            created_at=int(file.created_at),
            filename=file.filename,
            purpose=file.purpose.value,
        )


class FileList(_Answer):
    """Files, a page at a time."""

    object: Literal["list"] = "list"
    data: list[FileAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(_Answer):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class BatchFault(_Answer):
    """What is wrong with a batch, or with one line of its file."""

    code: str
    line: int | None
    message: str
    param: str | None


class BatchFaults(_Answer):
    object: Literal["list"] = "list"
    data: list[BatchFault]


class RequestCounts(_Answer):
    total: int
    completed: int
    failed: int


class BatchOrder(BaseModel):
    """What to make a batch of."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    input_file_id: Annotated[str, Field(max_length=64)]
    endpoint: Annotated[str, Field(max_length=256)]
    completion_window: Annotated[str, Field(max_length=32)]
    """As OpenAI's `24h`, or `90s`, `45m`, `7d`: what is not done by then is given up."""
    metadata: (
        Annotated[
            dict[
                Annotated[str, Field(max_length=64)],
                Annotated[str, Field(max_length=512)],
            ],
            Field(max_length=16),
        ]
        | None
    ) = None


class BatchAnswer(_Answer):
    """A batch; times in whole seconds since the epoch."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None
    errors: BatchFaults | None
    input_file_id: str
    completion_window: str
    status: Word
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: None = None
    """The engines count no tokens."""
    metadata: dict[str, str] | None

    @classmethod
    def of(cls, status: BatchStatus) -> BatchAnswer:
        batch = status.batch
        faults = [
            BatchFault(code=each.code, line=each.line, message=each.message, param=each.param)
            for each in batch.faults
        ]
        ends = ("completed", "failed", "expired", "cancelled")
        ended = {
            f"{end}_at": _whole(batch.ended_at if status.word == end else None) for end in ends
        }
        return cls(
            id=batch.id,
            endpoint=batch.endpoint,
            model=batch.model,
            errors=BatchFaults(data=faults) if faults else None,
            input_file_id=batch.input_file_id,
            completion_window=batch.completion_window,
            status=status.word,
            output_file_id=batch.output_file_id,
            error_file_id=batch.error_file_id,
            created_at=int(batch.created_at),
            in_progress_at=_whole(status.in_progress_at),
            expires_at=int(batch.expires_at),
            finalizing_at=_whole(status.finalizing_at),
            cancelling_at=_whole(batch.cancelling_at),
            request_counts=RequestCounts(
                total=batch.requests, completed=status.completed, failed=status.failed
            ),
            metadata=dict(batch.labels) if batch.labels is not None else None,
            **ended,
        )


class BatchList(_Answer):
    """Batches, newest first, a page at a time."""

    object: Literal["list"] = "list"
    data: list[BatchAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool


def _whole(at: float | None) -> int | None:
    return None if at is None else int(at)
