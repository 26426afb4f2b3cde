"""How a process of Millrace is set up.

Flags of the command line beat environment variables ``MILLRACE_*``, which beat the configuration
file (TOML, named by ``MILLRACE_CONFIG`` or ``--config``), which beats the defaults.
"""

from __future__ import annotations

import json
import os
import re
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from millrace import settings_sources as sources
from millrace.errors import UsageError
from millrace.spec import POOL
from millrace.telemetry import LogFormat

Seconds = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(gt=0, le=1_000_000)]

_DEVICE = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", re.ASCII)
_BROKERS = ("redis", "rediss", "redis+socket", "amqp", "amqps", "pyamqp", "sentinel")
_DEVICES = "auto, cpu, mps, cuda, cuda:N, xpu, xpu:N"


def _known_device(name: str) -> str:
    if not _DEVICE.fullmatch(name):
        told = {"name": name, "devices": _DEVICES}
        raise PydanticCustomError("device", "'{name}' is none of {devices}", told)
    return name


def _broker(url: str) -> str:
    """The URL is never repeated, as it may hold a password."""
    if not url:
        return url
    parts = urlsplit(url)
    if parts.scheme not in _BROKERS:
        told = {"scheme": parts.scheme, "schemes": ", ".join(_BROKERS)}
        raise PydanticCustomError("broker", "'{scheme}' is none of {schemes}", told)
    try:
        _ = parts.port
    except ValueError as error:
        raise PydanticCustomError("broker", "{reason}", {"reason": str(error)}) from None
    return url


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise PydanticCustomError("json", "{reason}", {"reason": f"not JSON: {error}"}) from None


Roots = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_decoded)]
Ports = Annotated[
    tuple[Annotated[int, Field(ge=1, le=65_535)], ...], NoDecode, BeforeValidator(_decoded)
]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_decoded)]


class Settings(BaseSettings):
    """One object for every service. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_prefix=sources.PREFIX, env_ignore_empty=True, frozen=True, extra="forbid"
    )

    state: Annotated[Path, AfterValidator(Path.expanduser)] = Field(
        default_factory=lambda: user_data_path("millrace")
    )
    """Folder of the embedded database, logs and locks."""
    database_url: str = Field(default="", repr=False)
    """SQLAlchemy URL; the SQLite file in the state folder where empty."""
    broker_url: Annotated[str, AfterValidator(_broker)] = Field(default="", repr=False)
    """Celery broker URL; without one, workers look in the database by themselves."""
    pool: Annotated[str, Field(pattern=POOL)] = "default"
    """The workers that this one belongs to; a job names the pool that it is for."""

    s3_endpoint_url: str = ""
    """An S3 server other than Amazon's; credentials come from boto3's own chain (AWS_*)."""
    s3_region: str = ""
    s3_addressing: Literal["auto", "path", "virtual"] = "auto"

    lease_seconds: Seconds = 60.0
    heartbeat_seconds: Seconds = 10.0
    stall_seconds: Seconds = 900.0
    """A chunk without any progress for this long is killed and counts as crashed."""
    grace_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long a chunk may go on after SIGTERM before it is released."""
    poll_seconds: Seconds = 10.0
    """How often an idle worker looks in the database for work that nobody rang for."""
    seen_seconds: Seconds = 10.0
    """How often a worker says that it lives, and what it holds."""
    max_batch: Annotated[int, Field(ge=1, le=1024)] = 256
    """Chunks that a worker may claim at once, where they are tiny."""
    batch_seconds: Seconds = 0.5
    """About how much work a worker claims at once."""

    re_ring_seconds: Seconds = 30.0
    """A chunk that was rung for and not claimed for so long is rung for again."""
    window_seconds: Seconds = 2.0
    """How much work the dispatcher keeps rung per pool."""
    affinity_seconds: Annotated[float, Field(ge=0)] = 5.0
    """How long a chunk waits for a worker that holds its model before anybody may take it."""
    leader_seconds: Seconds = 15.0
    """After so long without a sign of the leading scheduler another one takes over."""
    tenant_weights: Annotated[dict[str, Weight], NoDecode, BeforeValidator(_decoded)] = Field(
        default_factory=dict
    )
    """Shares of tenants relative to one another; 1 where none is given. JSON in a variable."""
    ageing_seconds: Seconds = 600.0
    """A waiting job gains one step of priority per so long."""
    speculate: bool = True
    """Whether slow chunks at the end of a job are offered to idle workers too."""
    speculation_factor: Annotated[float, Field(gt=1)] = 2.0
    """A chunk is slow that has taken so many times the median."""

    device: Annotated[str, AfterValidator(_known_device)] = "auto"
    threads: Annotated[int, Field(ge=1)] = 1
    memory_bytes: Annotated[int, Field(ge=64 << 20)] | None = None
    """What one compute process may allocate on the host; no limit where empty."""

    storage_roots: Roots = ()
    """Folders and prefixes that requests over HTTP may name; `{tenant}` stands for their tenant."""
    model_roots: Roots = ()
    """Folders with the models that requests over HTTP may name."""
    unsafe_models: bool = False
    """Whether keys with the scope models:unsafe may name models that are code."""
    max_body_bytes: Annotated[int, Field(ge=1_024, le=1 << 30)] = 1 << 20
    """The largest request that the API reads, but for uploads."""
    files_root: str = ""
    """Folder or prefix for uploads and for batches over them; in the state folder where empty."""
    max_file_bytes: Annotated[int, Field(ge=1, le=1 << 40)] = 200 << 20
    """The largest file that may be uploaded."""
    max_batch_requests: Annotated[int, Field(ge=1, le=100_000_000)] = 50_000
    """Requests of a batch at most, and inputs of all of them together."""
    openai_models: Annotated[dict[str, str], NoDecode, BeforeValidator(_decoded)] = Field(
        default_factory=dict
    )
    """What batches may name as their model, and the ENGINE:LOCATION that it stands for."""
    api_docs: bool = False
    """Whether the API shows pages about itself at /docs."""
    webhook_ports: Ports = (443,)
    """The ports at which webhooks may be called."""
    webhook_networks: Networks = ()
    """Networks that webhooks may be in although they are not the public internet: 10.1.0.0/16."""
    webhook_http: bool = False
    """Whether webhooks may be called without TLS; for trials."""

    startup_seconds: Annotated[float, Field(ge=0)] = 60.0
    """How long a service waits at its start for a database that is still coming up."""
    log_format: LogFormat = "auto"
    """JSON lines where standard error is no terminal, unless told otherwise."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @cached_property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.state.absolute() / 'millrace.db'}"

    @property
    def is_embedded(self) -> bool:
        """Whether the database is a file of this machine, and ours to look after."""
        return self.database.startswith("sqlite")

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read file and environment; `UsageError` names each place that cannot be used."""
        faults = list(sources.unknown_variables(os.environ, cls.model_fields))
        try:
            settings = cls(**overrides)
        except ValidationError as error:
            faults += [_fault(each, overrides) for each in error.errors()]
        if faults:
            raise UsageError("SETTING_INVALID", f"unusable settings: {'; '.join(faults)}")
        return settings

    def environment(self) -> dict[str, str]:
        """The variables by which a process that we start gets these very settings."""
        inherited = {name: value for name, value in os.environ.items() if name != sources.CONFIG}
        ours = {
            sources.variable(name): _as_variable(value)
            for name, value in self.model_dump(mode="json").items()
            if value is not None
        }
        return inherited | ours

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags first, then the environment, then the configuration file."""
        path = sources.config_file()
        from_file = {} if path is None else sources.keys_of(path)
        return init_settings, env_settings, InitSettingsSource(settings_cls, from_file)


def _as_variable(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _fault(fault: ErrorDetails, overrides: dict[str, Any]) -> str:
    name, *inside = map(str, fault["loc"])
    place = ".".join([_origin(name, overrides), *inside])
    if fault["type"] == "extra_forbidden":
        return f"{place}: no such setting{sources.suggestion(name, Settings.model_fields)}"
    return f"{place}: {fault['msg']}"


def _origin(name: str, overrides: dict[str, Any]) -> str:
    """What somebody set it by: an option, a variable of the environment, or a line of the file."""
    if name in overrides:
        return f"--{name.replace('_', '-')} ({sources.variable(name)})"
    path = sources.config_file()
    if sources.is_variable(name) or path is None or name not in sources.keys_of(path):
        return sources.variable(name)
    return f"{path}:{sources.line_of(path, name)} {name}"
