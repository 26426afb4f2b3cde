"""Results and error records of one attempt: spooled, hashed, and put under their final names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from millrace.datasets.base import RowWriter, WritableFormat
from millrace.failpoints import failpoint
from millrace.storage.base import Storage
from millrace.types import Json, Part
from workers.kept_rows import KeptRows


class PartWriter:
    """At most one part and one file of error records; nothing is visible before `publish`.

    Spooled files are gone at the end of the with block, published or not.
    """

    def __init__(self, store: Storage, output: str, stem: str, form: WritableFormat) -> None:
        self._store = store
        self._output = output.rstrip("/")
        self._stem = stem
        self._form = form
        self._stack = ExitStack()
        self._rows: RowWriter | None = None
        self._errors: Any = None
        self._spooled: dict[str, Path] = {}
        self.rows_ok = 0
        self.rows_err = 0

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def write(self, results: pa.RecordBatch | None, errors: Sequence[dict[str, Json]]) -> None:
        """Append the outcome of one window; all `results` have the same columns, and the same
        types where the format is `typed`.
        """
        if results is not None and results.num_rows:
            if self._rows is None:
                self._rows = self._form.writer(self._spool("parts"), results.schema)
            self._rows.write(results)
            self.rows_ok += results.num_rows
        if errors:
            if self._errors is None:
                file = self._spool("errors").open("w", encoding="utf-8", newline="\n")
                self._errors = self._stack.enter_context(file)
            self._errors.writelines(
                json.dumps(error, ensure_ascii=False, allow_nan=False) + "\n" for error in errors
            )
            self.rows_err += len(errors)

    def publish(self, kept: KeptRows | None = None) -> tuple[Part | None, Part | None]:
        """Store what was written under its final names: the part of results and that of errors,
        where any. Whoever commits them settles them first.

        What is `kept` of an earlier part stands between the rows that were written.
        """
        part = errors = None
        if self._rows is not None:
            self._rows.close()
        rows = self.rows_ok if kept is None else self._complete(kept)
        if rows:
            part = self._put("parts", self._form.suffix, rows)
        failpoint("w.mid_put")
        if self._errors is not None:
            self._errors.flush()
            errors = self._put("errors", ".jsonl", self.rows_err)
        return part, errors

    def _complete(self, kept: KeptRows) -> int:
        """Put the kept rows where they belong; returns how many rows there are then."""
        if not kept.rows:
            return self.rows_ok
        fresh = self._spooled.get("parts")
        if kept.is_all and fresh is None:
            self._spooled["parts"] = kept.part
        else:
            kept.splice(self._form, fresh, self._spool("parts"))
        return kept.rows + self.rows_ok

    def _spool(self, folder: str) -> Path:
        path = self._stack.enter_context(self._store.spool(f"{self._output}/{folder}"))
        self._spooled[folder] = path
        return path

    def _put(self, folder: str, suffix: str, rows: int) -> Part:
        spooled = self._spooled[folder]
        with spooled.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        path = f"{folder}/{self._stem}{suffix}"
        size = spooled.stat().st_size
        self._store.put(spooled, f"{self._output}/{path}", sha256)
        return Part(path, rows, size, sha256)
