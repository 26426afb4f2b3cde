"""The list that makes a folder of parts a result: no manifest, no output.

Its bytes are a function of database rows alone (RFC 8785 JSON; no times, hosts or process ids), so
that any two publishers write the same object and a repeated publication can be recognised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from millrace.errors import InvalidInput
from millrace.spec import JobSpec

MANIFEST = "_MANIFEST.json"
SUCCESS = "_SUCCESS"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ManifestInput(_Entry):
    """One pinned input file and how many rows were read from it."""

    uri: str
    format: str
    size: int
    version: str
    rows: int


class ManifestErrors(_Entry):
    """One object of error records, numbered over the whole input."""

    path: str
    rows: int
    bytes: int
    sha256: Sha256


class ManifestPart(ManifestErrors):
    """One part: results of the input rows ``[first_row, first_row + rows_in)`` without errors."""

    first_row: int
    rows_in: int


class ManifestParent(_Entry):
    """The published job whose error rows this one computed anew, keeping all others."""

    job: str
    manifest_sha256: Sha256


class RowCounts(_Entry):
    input: int
    ok: int
    errors: int


class Manifest(_Entry):
    """Everything a reader needs to trust the output folder; paths are relative to it."""

    format: Literal["millrace-manifest/1"] = "millrace-manifest/1"
    job: str
    state: Literal["succeeded", "partial"]
    spec_hash: Sha256
    spec: JobSpec
    inputs: tuple[ManifestInput, ...]
    rows: RowCounts
    parts: tuple[ManifestPart, ...]
    errors: tuple[ManifestErrors, ...]
    computed_by: tuple[Mapping[str, JsonValue], ...]
    """The distinct engines that took part: model hash, engine, versions, device, options."""
    parent: ManifestParent | None = None
    """Left out where there is none."""

    def paths(self) -> tuple[str, ...]:
        """Every object that is published, parts first."""
        return (*(part.path for part in self.parts), *(part.path for part in self.errors))

    def to_bytes(self) -> bytes:
        left_out = {"parent"} if self.parent is None else None
        return rfc8785.dumps(self.model_dump(mode="json", exclude=left_out)) + b"\n"

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Read a manifest; `InvalidInput` says what is wrong with the first field that is."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"])) or "the document"
            raise InvalidInput(
                "MANIFEST_INVALID", f"not a manifest of Millrace: {where}: {fault['msg']}"
            ) from None


def distinct(
    fingerprints: Iterable[Mapping[str, JsonValue]],
) -> tuple[Mapping[str, JsonValue], ...]:
    """The different fingerprints, in an order that depends on their content only."""
    by_content = {rfc8785.dumps(dict(each)): each for each in fingerprints}
    return tuple(by_content[content] for content in sorted(by_content))


def addressed(content: bytes) -> str:
    """The name, told by its content, of a manifest that no other one can take the place of."""
    return f"_MANIFEST-{sha256(content)[:16]}.json"


def tombstone(job_id: str) -> bytes:
    """Takes the manifest's place where a publication is abandoned: nobody can publish later."""
    return rfc8785.dumps({"format": "millrace-manifest/1", "job": job_id, "state": "abandoned"})


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
