"""One order, from input bytes to stored parts.

read → window → prepare → run → restore order → join → write
└──── threads ahead ───┘  main  └── a thread behind ───────┘
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from itertools import islice
from typing import cast

import numpy as np
import pyarrow as pa
from pydantic import JsonValue

from millrace import datasets, storage
from millrace.datasets.base import Rows, WritableFormat
from millrace.datasets.schema import decode_schema
from millrace.errors import InvalidInput
from millrace.failpoints import failpoint
from millrace.storage.base import Storage, StoredObject
from millrace.types import Input, OnError, Reading, Span
from workers.engines.base import Engine, Loaded, Predicted, Prepared, Refused
from workers.error_record import error_records
from workers.kept_part import fetched
from workers.kept_rows import KeptRows
from workers.lookahead import Behind, ahead
from workers.order import Finished, WorkOrder
from workers.part_writer import PartWriter
from workers.progress import ProgressWatcher, Report
from workers.projection import Projection, project
from workers.reading import expect_whole, followed
from workers.restore import Outcomes, restored, single
from workers.result_types import PinnedTypes, refuse_change
from workers.window import Stretch, Window, windows

_DEPTH = 2
_NONE = pa.schema([])


def run_order(
    order: WorkOrder, engine: Engine, loaded: Loaded, report: Report, types: PinnedTypes
) -> Finished:
    """Compute the chunk and store its parts; `types` are those of earlier parts.

    Raises `InvalidInput` for what no attempt can mend, `ModelError` for the engine's fault,
    `Unavailable` or `OSError` for the surroundings'.
    """
    failpoint("w.before_read")
    if not order.inputs:
        raise InvalidInput("PLAN_BROKEN", f"no input lies at {order.start} to {order.end}")
    schema = _schema(order.arrow_schema)
    used = engine.input_columns(schema, order.spec.input_columns)
    formats = [source.format for source in order.inputs]
    projection = project(schema, order.spec, used, formats, engine.traits.passthrough)
    if loaded.columns is not None:
        projection.results(loaded.columns)
    return _Run(order, engine, projection, loaded, report, types).finish()


@lru_cache(maxsize=1)
def _schema(encoded: str) -> pa.Schema:
    return decode_schema(encoded)


class _Run:
    def __init__(
        self,
        order: WorkOrder,
        engine: Engine,
        projection: Projection,
        loaded: Loaded,
        report: Report,
        types: PinnedTypes,
    ) -> None:
        self._order = order
        self._engine = engine
        self._projection = projection
        self._info = loaded
        self._report = report
        self._read = {source.index: Reading(source.index, 0) for source in order.inputs}
        self._types = types
        self._schema: pa.Schema | None = None
        self._key = order.spec.key
        self._form = cast(WritableFormat, datasets.for_name(order.spec.output_format))
        self._kept: KeptRows | None = None

    def finish(self) -> Finished:
        order = self._order
        watcher = ProgressWatcher(self._report)
        store = storage.for_uri(order.spec.output)
        parts = PartWriter(store, order.spec.output, order.part_stem, self._form)
        with parts, self._keeping(store, watcher):
            behind = Behind[Outcomes](lambda each: self._write(each, parts), _DEPTH, "write")
            with behind as writer, closing(self._prepared(watcher)) as ready:
                for window, prepared in ready:
                    writer.give(self._compute(window, prepared, watcher))
            watcher.leave()
            rows = sum(each.rows for each in self._read.values())
            kept = 0 if self._kept is None else self._kept.settle(rows)
            assert kept + parts.rows_ok + parts.rows_err == rows, "a row got lost"
            failpoint("w.before_put")
            part, error_part = parts.publish(self._kept)
            failpoint("w.after_put")
        return Finished(
            token=order.token,
            rows_ok=kept + parts.rows_ok,
            rows_err=parts.rows_err,
            part=part,
            error_part=error_part,
            fingerprint=dict(self._info.fingerprint) | self._columns(),
            readings=tuple(self._read.values()),
        )

    @contextmanager
    def _keeping(self, store: Storage, watcher: ProgressWatcher) -> Iterator[None]:
        """Have the rows at hand that are not to be computed, where there are any."""
        order, kept = self._order, self._order.kept
        if kept is None:
            yield
            return
        with fetched(kept, store, f"{order.spec.output}/parts", watcher.leave) as part:
            lead = Span(kept.span.start, order.start)
            before = sum(_count(_read(source, order, lead, _NONE)) for source in order.lead)
            self._kept = KeptRows(kept, part, before, to_the_end=order.end == kept.span.end)
            if self._form.typed:
                self._types = PinnedTypes()
                self._types.pinned(order.job_id, self._kept.schema())
            yield

    def _prepared(self, watcher: ProgressWatcher) -> Generator[tuple[Window, Prepared], None, None]:
        """Prepared windows, from threads ahead where there are several.

        Where an earlier attempt crashed, nothing runs ahead and the window is announced first, so
        that a crash while reading or preparing has its suspects too. So it is where rows are kept:
        without suspects, none of the others could be blamed.
        """
        if self._order.suspects or self._kept is not None:
            for window in windows(self._stretches()):
                watcher.preparing(window)
                yield window, self._prepare(window)
            return
        found = windows(self._stretches())
        first = list(islice(found, 2))
        if len(first) < 2:
            yield from ((each, self._prepare(each)) for each in first)
            return
        with closing(ahead(_chained(first, found), _DEPTH, "read")) as read:
            ready = ((each, self._prepare(each)) for each in read)
            yield from ahead(ready, _DEPTH, "prepare")

    def _stretches(self) -> Iterator[Stretch]:
        first, span = 0, Span(self._order.start, self._order.end)
        for source in self._order.inputs:
            for rows in _read(source, self._order, span, self._projection.reading):
                wanted = rows if self._kept is None else self._kept.missing(rows, first)
                yield Stretch(source, first, wanted)
                self._read[source.index] = followed(self._read[source.index], rows)
            expect_whole(self._read[source.index], source, self._order.end)
            first += self._read[source.index].rows

    def _prepare(self, window: Window) -> Prepared:
        return self._engine.prepare(window.batch.select(list(self._projection.used)))

    def _compute(self, window: Window, prepared: Prepared, watcher: ProgressWatcher) -> Outcomes:
        watcher.enter(window, len(prepared.refused))
        suspects = np.flatnonzero(np.isin(window.place, self._order.suspects))
        predicted: list[Predicted] = []
        refused = list(prepared.refused)
        self._stop_at_first(window, refused)
        for outcome in self._engine.run(prepared, watcher, suspects):
            if isinstance(outcome, Predicted):
                predicted.append(outcome)
            else:
                refused.append(outcome)
                self._stop_at_first(window, refused)
        return restored(window, predicted, refused)

    def _stop_at_first(self, window: Window, refused: list[Refused]) -> None:
        if self._order.spec.on_error is not OnError.FAIL or not (refused or window.rejects):
            return
        used = self._projection.used
        record = error_records(window, refused, used, self._key)[0]
        source = next(each for each in self._order.inputs if each.index == record["input"])
        raise InvalidInput(
            "ROW_FAILED",
            f"{source.uri}, position {record['position']}: {record['message']} ({record['code']})",
            "mend the row, or use --on-error isolate to have it reported beside the results",
        )

    def _write(self, outcome: Outcomes, parts: PartWriter) -> None:
        joined = None if outcome.columns is None else self._joined(outcome, outcome.columns)
        errors = error_records(outcome.window, outcome.refused, self._projection.used, self._key)
        parts.write(joined, errors)
        if self._kept is not None:
            self._kept.computed(outcome.window.row[outcome.row])

    def _columns(self) -> dict[str, JsonValue]:
        """The types in the part, where its file declares them."""
        if self._schema is None or not self._form.typed:
            return {}
        return {"columns": {field.name: str(field.type) for field in self._schema}}

    def _joined(self, outcome: Outcomes, model: pa.Table) -> pa.RecordBatch:
        schema = self._projection.results(self._info.columns or model.schema)
        if self._form.typed:
            schema = self._types.pinned(self._order.job_id, schema)
            refuse_change(self._schema or schema, schema)
        self._schema = schema
        carried = outcome.window.batch.select(list(self._projection.carried))
        if len(outcome.row) < carried.num_rows:
            carried = carried.take(pa.array(outcome.row))
        columns = [
            carried.column(field.name)
            if field.name in self._projection.carried
            else single(model.column(field.name), field.type)
            for field in schema
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def _chained(first: list[Window], rest: Iterator[Window]) -> Iterator[Window]:
    yield from first
    yield from rest


def _count(stretches: Iterable[Rows]) -> int:
    return sum(len(rows.row) + len(rows.rejects) for rows in stretches)


def _read(source: Input, order: WorkOrder, span: Span, columns: pa.Schema) -> Iterator[Rows]:
    form = datasets.for_name(source.format, multiline=order.spec.csv_multiline)
    stream = storage.for_uri(source.uri).open(StoredObject(source.uri, source.size, source.version))
    key = order.spec.key
    try:
        yield from form.read(
            stream,
            max(span.start - source.base, 0),
            min(span.end - source.base, source.extent),
            columns,
            (key,) if key is not None and key in columns.names else (),
        )
    finally:
        stream.close()
