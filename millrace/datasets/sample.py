"""The first look at a text file: is it text at all, is it compressed, what are its first rows."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from millrace.datasets.base import Layout
from millrace.datasets.compression import SUFFIXES, Decoded, codec_of, decoded
from millrace.datasets.lines import BOM, cut
from millrace.datasets.records import MAX_RECORD
from millrace.errors import InvalidInput
from millrace.storage.base import InputStream

SAMPLE = 1 << 20

_HEAD = 4_096
_MAGIC = {
    b"PAR1": "Parquet",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh91AY&SY": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"%PDF-": "a PDF",
    b"Obj\x01": "Avro",
    b"ARROW1\0\0": "Arrow IPC",
    b"SQLite format 3\0": "an SQLite database",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
}
_WIDE = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\0\0\xfe\xff": "UTF-32"}
_HTML = (b"<!doctype html", b"<html")


@dataclass(frozen=True, slots=True)
class Sample:
    """The whole lines that start in the first bytes of the decoded file."""

    content: bytes
    whole: bool
    """The file holds nothing else."""
    size: int
    """Bytes of the decoded file, estimated where it is compressed."""
    extent: int
    compressed: bool

    def layout(
        self, rows: int, schema: pa.Schema, divisible: bool = True, note: str = ""
    ) -> Layout:
        """The layout of the file, whose sample holds `rows` rows."""
        if self.compressed:
            divisible, note = False, "compressed: one block"
        estimate = rows if self.whole else round(rows * self.size / max(1, len(self.content)))
        return Layout(self.extent, divisible, (), max(1, estimate), schema, note)


def take(source: InputStream, name: str, limit: int = MAX_RECORD, length: int = SAMPLE) -> Sample:
    """Look at the rows that start in the first `length` bytes of a text file.

    `InvalidInput`: DATASET_EMPTY, FORMAT_MISMATCH and ENCODING say what the first bytes look like;
    LINE_TOO_LONG where there is no shorter row in the whole sample.
    """
    _refuse_empty(source.size > 0, name)
    head = source.read_at(0, _HEAD)
    codec = codec_of(head)
    if codec != _expected_codec(name):
        raise mismatch(name, _looks_like(head) or "plain text")
    text = decoded(source)
    if problem := _looks_like(text.read_at(0, _HEAD)):
        raise mismatch(name, problem)
    stretches = [stretch for _, stretch, _ in cut(text, 0, length, limit)]
    short = [stretch for stretch in stretches if len(stretch) <= limit or b"\n" in stretch]
    _refuse_empty(bool(stretches), name)
    if not short:
        raise InvalidInput(
            "LINE_TOO_LONG", f"the first line of {name} is longer than {limit} bytes", "split it"
        )
    content = b"".join(short)
    whole = len(short) == len(stretches) and not text.read_at(len(content), 1)
    _refuse_empty(bool(content.removeprefix(BOM).strip()) or not whole, name)
    size = round(source.size * text.ratio) if isinstance(text, Decoded) else source.size
    return Sample(content, whole, size, text.size, codec is not None)


def mismatch(name: str, found: str, hint: str = "") -> InvalidInput:
    code = "ENCODING" if found.startswith("UTF-") else "FORMAT_MISMATCH"
    if code == "ENCODING":
        hint = "convert it, as in: iconv -f UTF-16 -t UTF-8"
    return InvalidInput(
        code,
        f"the first bytes of {name} look like {found}",
        hint or "name the file by what it is, or say so with --input-format",
    )


def empty(name: str) -> InvalidInput:
    return InvalidInput("DATASET_EMPTY", f"{name} has no rows", "check the file")


def _refuse_empty(filled: bool, name: str) -> None:
    if not filled:
        raise empty(name)


def _expected_codec(name: str) -> str | None:
    return next((codec for suffix, codec in SUFFIXES.items() if name.endswith(suffix)), None)


def _looks_like(head: bytes) -> str | None:
    """What a head that is no UTF-8 text looks like; none where it may be text."""
    for table in (_WIDE, _MAGIC):
        for magic, kind in table.items():
            if head.startswith(magic):
                return kind
    if head.lstrip()[:16].lower().startswith(_HTML):
        return "an HTML page"
    return "binary or UTF-16" if head.count(0) * 20 > len(head) else None
