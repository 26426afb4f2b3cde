"""How a process of Millrace is set up: environment variables ``MILLRACE_*`` over defaults."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from platformdirs import user_data_path
from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from millrace.errors import UsageError

Seconds = Annotated[float, Field(gt=0)]

_DEVICE = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", re.ASCII)
_DEVICES = "auto, cpu, mps, cuda, cuda:N, xpu, xpu:N"


def _known_device(name: str) -> str:
    if not _DEVICE.fullmatch(name):
        told = {"name": name, "devices": _DEVICES}
        raise PydanticCustomError("device", "'{name}' is none of {devices}", told)
    return name


class Settings(BaseSettings):
    """One object for every service. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="MILLRACE_", frozen=True, extra="forbid")

    state: Path = Field(default_factory=lambda: user_data_path("millrace"))
    """Folder of the embedded database, logs and locks."""
    database_url: str = ""
    """SQLAlchemy URL; the SQLite file in the state folder where empty."""
    broker_url: str = ""
    """Celery broker URL; without one, workers look in the database by themselves."""
    pool: str = "default"

    lease_seconds: Seconds = 60.0
    heartbeat_seconds: Seconds = 10.0
    stall_seconds: Seconds = 900.0
    """A chunk without any progress for this long is killed and counts as crashed."""
    grace_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long a chunk may go on after SIGTERM before it is released."""
    poll_seconds: Seconds = 10.0
    """How often an idle worker looks in the database for work that nobody rang for."""
    re_ring_seconds: Seconds = 30.0

    device: Annotated[str, AfterValidator(_known_device)] = "auto"
    threads: Annotated[int, Field(ge=1)] = 1
    memory_bytes: Annotated[int, Field(ge=64 << 20)] | None = None
    """What one compute process may allocate on the host; no limit where empty."""

    @cached_property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.state.absolute() / 'millrace.db'}"

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the environment; `UsageError` names each variable that cannot be used."""
        try:
            return cls(**overrides)
        except ValidationError as error:
            faults = "; ".join(
                f"{_origin(str(fault['loc'][0]), overrides)}: {fault['msg']}"
                for fault in error.errors()
            )
            raise UsageError("SETTING_INVALID", f"unusable settings: {faults}") from None


def _origin(name: str, overrides: dict[str, Any]) -> str:
    """What somebody set it by: an option of the command line, or the environment."""
    variable = f"MILLRACE_{name.upper()}"
    return f"--{name} ({variable})" if name in overrides else variable
