"""What crosses to a compute child when it is started; imports nothing that takes time.

The worker needs none of what the child computes with, and starts it before anything else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millrace.storage.s3_endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class ComputeSettings:
    """How a compute child is set up; crosses to it when it is started."""

    device: str = "auto"
    """``"cpu"``, ``"cuda:0"``, ``"mps"``, or ``"auto"`` for a GPU where there is one."""
    threads: int = 1
    memory_bytes: int | None = None
    """Bound of host memory; on a GPU there is none, as its driver maps far more than it uses."""
    engine: str | None = None
    """The engine that is likely to be asked for, to be imported while there is no order yet."""
    budget_folder: Path | None = None
    """Where learned batch sizes are kept between processes; nowhere if none."""
    s3: Endpoint = field(default_factory=Endpoint)
    """Where S3 is; what the worker was told by its variables, which the child forgets."""


def begin(connection: Any, settings: ComputeSettings) -> None:
    """Entry of the process; see `workers.compute.serve`."""
    from workers.compute import serve

    serve(connection, settings)
