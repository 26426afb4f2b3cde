"""The lines of an uploaded file as requests: each is checked, and what is wrong has its line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from millrace.datasets.lines import lines
from millrace.datasets.records import MAX_RECORD
from millrace.filing.batches import Fault
from millrace.front.openai.endpoints import endpoint_of
from millrace.storage.base import InputStream

MOST_FAULTS = 100

_MOST_PLACE_CHARACTERS = 120

_CODES = {
    "missing": "missing_required_parameter",
    "extra_forbidden": "unknown_parameter",
    "json_invalid": "invalid_json_line",
}
_CODES_OF_PARAM = {"method": "invalid_method", "url": "invalid_url"}
_OURS = frozenset({"invalid_value", "unsupported_value", "unsupported_parameter"})


@dataclass(frozen=True, slots=True)
class Request:
    """One usable line."""

    line: int
    custom_id: str
    model: str
    texts: tuple[str, ...]
    style: str


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    custom_id: Annotated[str, Field(min_length=1, max_length=512)]
    method: Literal["POST"]
    url: str
    body: dict[str, Any]


class RequestLines:
    """The requests of a file for one endpoint; after reading, `faults` has all that is wrong.

    Kept in memory is a digest of each custom id, to see which comes twice.
    """

    def __init__(self, path: str, models: frozenset[str], most: int) -> None:
        self._path = path
        self._endpoint = endpoint_of(path)
        self._models = models
        self._most = most
        self._line_of: dict[bytes, int] = {}
        self._inputs = 0
        self.model: str | None = None
        """That of the first usable request; a batch has only one."""
        self.faults: list[Fault] = []

    def read(self, source: InputStream) -> Iterator[Request]:
        """The usable requests in order, as long as there are not too many faults."""
        number = 0
        for records in lines(source, 0, source.size):
            for content in records.content:
                number += 1
                if not content.strip():
                    continue
                request = self._request(number, content)
                if request is not None:
                    yield request
                if len(self.faults) >= MOST_FAULTS or not self._has_room():
                    return
        if not self._line_of and not self.faults:
            self.faults.append(Fault("empty_file", "the input file holds no requests"))

    def _request(self, number: int, content: bytes) -> Request | None:
        if len(content) > MAX_RECORD:
            self._blame(number, "invalid_json_line", f"the line is over {MAX_RECORD:,} bytes", None)
            return None
        try:
            line = _Line.model_validate_json(content)
        except ValidationError as error:
            self._blame_all(number, error, "")
            return None
        is_right = self._check_line(number, line)
        try:
            model, texts, style = self._endpoint.read(line.body)
        except ValidationError as error:
            self._blame_all(number, error, "body.")
            return None
        self._inputs += len(texts)
        if not self._check_model(number, model) or not is_right:
            return None
        return Request(number, line.custom_id, model, texts, style)

    def _check_line(self, number: int, line: _Line) -> bool:
        digest = hashlib.blake2b(line.custom_id.encode(), digest_size=16).digest()
        first = self._line_of.setdefault(digest, number)
        if first != number:
            told = f"the custom_id {line.custom_id[:80]!r} is that of line {first} already"
            self._blame(number, "duplicate_custom_id", told, "custom_id")
        if line.url != self._path:
            told = f"the url is {line.url[:80]!r}, that of the batch is {self._path}"
            self._blame(number, "invalid_url", told, "url")
        return first == number and line.url == self._path

    def _check_model(self, number: int, model: str) -> bool:
        if model not in self._models:
            there_are = ", ".join(sorted(self._models)) or "none so far"
            told = f"there is no model {model[:80]!r}; there are: {there_are}"
            self._blame(number, "model_not_found", told, "body.model")
            return False
        self.model = self.model or model
        if model != self.model:
            told = f"the model is {model!r}, that of the lines before {self.model!r}; use one only"
            self._blame(number, "mismatched_model", told, "body.model")
        return model == self.model

    def _has_room(self) -> bool:
        found = max(len(self._line_of), self._inputs)
        if found > self._most:
            told = f"the file holds over {self._most:,} requests or inputs; split it"
            self.faults.append(Fault("too_many_tasks", told))
        return found <= self._most

    def _blame_all(self, number: int, error: ValidationError, inside: str) -> None:
        for each in error.errors(include_url=False, include_input=False):
            place = inside + ".".join(map(str, each["loc"]))
            param = place.removesuffix(".")[:_MOST_PLACE_CHARACTERS] or None
            self._blame(number, _code(each, param), _told(each, param), param)

    def _blame(self, number: int, code: str, message: str, param: str | None) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(code, message, param, number))


def _code(fault: ErrorDetails, param: str | None) -> str:
    kind = fault["type"]
    if kind in _OURS:
        return kind
    if not param:
        return "invalid_json_line"
    return _CODES.get(kind) or _CODES_OF_PARAM.get(param, "invalid_value")


def _told(fault: ErrorDetails, param: str | None) -> str:
    said = fault["msg"]
    if fault["type"] == "json_invalid":
        return f"the line is not a JSON object: {said.removeprefix('Invalid JSON: ')}"
    return f"{param}: {said}" if param else f"the line: {said}"
