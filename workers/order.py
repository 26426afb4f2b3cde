"""What the worker process and its compute child say to one another: JSON with fixed shapes.

The worker sends a `WorkOrder`; the child answers with any number of `Progress` and then one
`Finished` or `Stopped`. Nothing else crosses, and never a pickle.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from millrace.spec import JobSpec
from millrace.types import Input, Kept, Part, Reading

MAX_MESSAGE_BYTES = 16 << 20


@lru_cache(maxsize=1)
def _parsed(spec: str) -> JobSpec:
    """Orders of one job follow one another, and its document may be long."""
    return JobSpec.model_validate_json(spec)


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkOrder(_Message):
    """One attempt at one chunk: what to read, what to compute, what to call the result."""

    type: Literal["order"] = "order"
    job_id: str
    idx: int
    attempt: int
    token: str
    start: int
    end: int
    inputs: tuple[Input, ...]
    """Only those that overlap ``[start, end)``."""
    arrow_schema: str
    """The pinned input schema, an Arrow IPC schema message in base64."""
    asked: str
    """The job's `JobSpec` as JSON."""
    kept: Kept | None = None
    """What is not to be computed, as an earlier job has it already."""
    lead: tuple[Input, ...] = ()
    """Inputs with rows of the kept chunk before the order: in ``[kept.span.start, start)``."""
    suspects: tuple[int, ...] = ()
    """Positions (in the job's space) to run last, one by one."""
    part_stem: str
    """File name of the part without its suffix, unique to this attempt."""

    @property
    def spec(self) -> JobSpec:
        """What somebody asked for; the same object for orders of the same job."""
        return _parsed(self.asked)


class Progress(_Message):
    """Rows done so far, and the positions of the rows now in flight.

    The first one after a load says that the model is there: a crash before it is no row's fault.
    """

    type: Literal["progress"] = "progress"
    rows: int
    in_flight: tuple[int, ...] = ()
    loaded: bool = True
    """Not so where an order is carried out without any model."""


class Finished(_Message):
    """The parts are stored under their final names; the worker may settle and commit them."""

    type: Literal["finished"] = "finished"
    token: str
    rows_ok: int
    rows_err: int
    part: Part | None
    error_part: Part | None
    fingerprint: dict[str, JsonValue]
    readings: tuple[Reading, ...]
    """Of each of the order's inputs, with accepted and rejected rows."""


class Stopped(_Message):
    """The attempt ended without results.

    `infra` is nobody's fault and worth another try elsewhere; `model` means that the model cannot
    be loaded here; `permanent` ends the job.
    """

    type: Literal["stopped"] = "stopped"
    token: str
    reason: Literal["infra", "model", "permanent"]
    code: str
    message: str
    hint: str = ""


FromChild: TypeAlias = Annotated[Progress | Finished | Stopped, Field(discriminator="type")]
FROM_CHILD: TypeAdapter[Progress | Finished | Stopped] = TypeAdapter(FromChild)
