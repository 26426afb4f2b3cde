"""Checks published results from outside: with the manifest, the files and the input, no database.

Four questions, each answered with a list of faults that is empty when all is well: are the files
those that were published; does every row of the input stand exactly once in the parts or in the
errors; is the input still what was read; and do the keys of the results follow those of the
input, row by row?
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

import pyarrow as pa

from millrace import datasets, storage
from millrace.datasets.base import Rows
from millrace.datasets.schema import json_field
from millrace.errors import InvalidInput, MillraceError, NotFound
from millrace.manifest import MANIFEST, Manifest, ManifestErrors, ManifestPart
from millrace.storage.base import Storage, StoredObject, blocks
from millrace.types import Join

_MAX_FAULTS = 20
_FAR = 1 << 62


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found; the output can be trusted when there are no `faults`."""

    manifest: Manifest
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def verify(output: str) -> Verdict:
    """Check the output folder at an absolute URI; `NotFound` where nothing was published."""
    store = storage.for_uri(output)
    manifest = _manifest(store, output)
    faults = [*_inconsistent(manifest), *_damaged(store, output, manifest)]
    notes = list(_uneven_columns(manifest))
    if not faults:
        faults += _miscounted(store, output, manifest)
    if not faults:
        try:
            faults += _against_input(store, output, manifest)
        except (NotFound, InvalidInput) as error:
            notes.append(f"the input was not compared: {error.message}")
    return Verdict(manifest, tuple(faults[:_MAX_FAULTS]), tuple(notes))


def _uneven_columns(manifest: Manifest) -> Iterator[str]:
    """Result columns that have other types in some parts, as a careless predictor gives them."""
    kinds: dict[str, set[str]] = {}
    for each in manifest.computed_by:
        columns = each.get("columns")
        for name, kind in columns.items() if isinstance(columns, dict) else ():
            kinds.setdefault(name, set()).add(str(kind))
    for name, found in sorted(kinds.items()):
        if len(found - {"null"}) > 1:
            yield f"column {name!r} is {' in some parts, '.join(sorted(found))} in others"


def _manifest(store: Storage, output: str) -> Manifest:
    try:
        content = store.read(f"{output}/{MANIFEST}")
    except NotFound:
        raise NotFound(
            "NO_MANIFEST",
            f"nothing was published in {output}: there is no {MANIFEST}",
            "without a manifest there are no results; is the job still running?",
        ) from None
    return Manifest.from_bytes(content)


def _inconsistent(manifest: Manifest) -> Iterator[str]:
    """What a manifest of ours never says, whatever was published."""
    rows = manifest.rows
    if manifest.spec_hash != manifest.spec.spec_hash():
        yield "the manifest's request is not the one that its hash was taken of"
    if rows.ok + rows.errors != rows.input or rows.ok != sum(part.rows for part in manifest.parts):
        yield f"{rows.ok:,} results and {rows.errors:,} errors for {rows.input:,} rows"
    if rows.errors != sum(entry.rows for entry in manifest.errors):
        yield f"{rows.errors:,} errors, but their files are said to hold another number"
    if manifest.state != ("partial" if rows.errors else "succeeded"):
        yield f"the manifest says {manifest.state}, with {rows.errors:,} error records"
    if len({*manifest.paths()}) != len(manifest.paths()):
        yield "a file is listed twice"


def _damaged(store: Storage, output: str, manifest: Manifest) -> Iterator[str]:
    """Files that are gone or are not, byte for byte, those of the manifest."""
    published: tuple[ManifestErrors, ...] = (*manifest.parts, *manifest.errors)
    for entry in published:
        try:
            found = store.info(f"{output}/{entry.path}")
            digest = _digest(store, found)
        except MillraceError as error:
            yield f"{entry.path}: {error.message}"
            continue
        if found.size != entry.bytes:
            yield f"{entry.path}: {found.size:,} bytes, published were {entry.bytes:,}"
        elif digest != entry.sha256:
            yield f"{entry.path}: its SHA-256 is {digest}, published was {entry.sha256}"


def _digest(store: Storage, found: StoredObject) -> str:
    digest, stream = hashlib.sha256(), store.open(found)
    try:
        for block in blocks(stream):
            digest.update(block)
    finally:
        stream.close()
    return digest.hexdigest()


def _miscounted(store: Storage, output: str, manifest: Manifest) -> Iterator[str]:
    """Rows that stand nowhere or twice, told by the numbers of rows and of error records."""
    errors = _error_rows(store, output, manifest.errors)
    error, errors_seen, next_row = next(errors, None), 0, 0
    for part in (*manifest.parts, _end(manifest)):
        while error is not None and error == next_row and next_row < part.first_row:
            error, errors_seen, next_row = next(errors, None), errors_seen + 1, next_row + 1
        if next_row != part.first_row:
            yield f"row {next_row:,} is in no part and has no error record"
            return
        bad = 0
        while error is not None and error < part.first_row + part.rows_in:
            if error < part.first_row:
                yield f"row {error:,} has two records"
                return
            error, bad = next(errors, None), bad + 1
        errors_seen += bad
        if part.path and _rows_in(store, output, part, manifest) != part.rows:
            yield f"{part.path}: does not hold the {part.rows:,} rows of the manifest"
        if part.rows + bad != part.rows_in:
            yield f"{part.path}: {part.rows:,} results and {bad:,} errors for {part.rows_in:,} rows"
        next_row += part.rows_in
    if error is not None or errors_seen != manifest.rows.errors:
        yield f"{errors_seen:,} error records where the manifest has {manifest.rows.errors:,}"
    if sum(each.rows for each in manifest.inputs) != manifest.rows.input:
        yield "the inputs' rows do not add up to the job's rows"


def _end(manifest: Manifest) -> ManifestPart:
    """A part of no rows behind the last one."""
    return ManifestPart(
        path="", rows=0, bytes=0, sha256="0" * 64, first_row=manifest.rows.input, rows_in=0
    )


def _error_rows(store: Storage, output: str, entries: tuple[ManifestErrors, ...]) -> Iterator[int]:
    for entry in entries:
        schema = pa.schema([("row", pa.int64())])
        for rows in _read(store, f"{output}/{entry.path}", "jsonl", schema):
            yield from rows.batch.column("row").to_pylist()


def _rows_in(store: Storage, output: str, part: ManifestPart, manifest: Manifest) -> int:
    uri = f"{output}/{part.path}"
    batches = _read(store, uri, manifest.spec.output_format, pa.schema([]))
    return sum(len(rows.row) + len(rows.rejects) for rows in batches)


def _against_input(store: Storage, output: str, manifest: Manifest) -> Iterator[str]:
    key = manifest.spec.key if manifest.spec.join is Join.KEY else None
    errors = _error_rows(store, output, manifest.errors)
    expected = _input_keys(manifest, key, errors)
    actual = _result_keys(store, output, manifest, key)
    for number, (wanted, found) in enumerate(zip_longest(expected, actual)):
        if wanted is None or found is None:
            yield f"the input has {'more' if found is None else 'fewer'} rows than were published"
            return
        if wanted != found:
            yield f"result {number:,} has the key {found!r}, the input has {wanted!r} there"
            return


def _input_keys(manifest: Manifest, key: str | None, errors: Iterator[int]) -> Iterator[str]:
    """The key (or nothing) of every input row without an error record, in order."""
    error, first = next(errors, None), 0
    for each in manifest.inputs:
        store = storage.for_uri(each.uri)
        pinned = StoredObject(each.uri, each.size, each.version)
        schema = _key_schema(key, each.format)
        for rows in _read_pinned(store, pinned, each.format, schema, manifest.spec.csv_multiline):
            keys = rows.batch.column(0).to_pylist() if key else [""] * len(rows.row)
            for row, value in zip((rows.row + first).tolist(), keys, strict=True):
                while error is not None and error < row:
                    error = next(errors, None)
                if error != row:
                    yield _text(value)
        first += each.rows


def _result_keys(store: Storage, output: str, manifest: Manifest, key: str | None) -> Iterator[str]:
    schema = _key_schema(key, manifest.spec.output_format)
    for part in manifest.parts:
        for rows in _read(store, f"{output}/{part.path}", manifest.spec.output_format, schema):
            keys = rows.batch.column(0).to_pylist() if key else [""] * len(rows.row)
            yield from map(_text, keys)


def _key_schema(key: str | None, form: str) -> pa.Schema:
    if key is None:
        return pa.schema([])
    if form == "jsonl":
        return pa.schema([json_field(key)])
    return pa.schema([(key, pa.string())])


def _text(value: object) -> str:
    """One spelling for a key, whatever the format it stands in."""
    text = "" if value is None else str(value)
    try:
        decoded = json.loads(text)
    except ValueError:
        return text.lstrip("'")
    return decoded.lstrip("'") if isinstance(decoded, str) else json.dumps(decoded)


def _read(store: Storage, uri: str, form: str, schema: pa.Schema) -> Iterator[Rows]:
    return _read_pinned(store, store.info(uri), form, schema, multiline=True)


def _read_pinned(
    store: Storage, pinned: StoredObject, form: str, schema: pa.Schema, multiline: bool
) -> Iterator[Rows]:
    source = store.open(pinned)
    try:
        yield from datasets.for_name(form, multiline=multiline).read(source, 0, _FAR, schema)
    finally:
        source.close()
