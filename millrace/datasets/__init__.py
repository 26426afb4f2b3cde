"""Files of rows: planning, reading and writing them, one file per format.

A format looks at a file once (`Format.inspect`: sizes, footer, a first sample) and from then on
reads ranges of positions. Line formats share `lines` (the one rule by which they are cut),
`records` (numbering, faults) and `sample` (the first look); adding a format is one file with a
class of the shape of `base.Format` and one line in `millrace.catalog`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from millrace import catalog
from millrace.datasets.detect import by_suffix, detect
from millrace.datasets.schema import decode_schema, encode_schema

if TYPE_CHECKING:
    from millrace.datasets.base import Format

__all__ = ["by_suffix", "decode_schema", "detect", "encode_schema", "for_name"]


def for_name(name: str, **options: Any) -> Format:
    """The format called `name`; `InvalidInput` lists those that there are.

    Of `options` each format takes those that mean something to it: `multiline` for csv and tsv,
    `sample` (bytes that `inspect` looks at) for jsonl and text.
    """
    entry = catalog.dataset_format(name)
    known = {key: value for key, value in options.items() if key in entry.options}
    return cast("Format", catalog.load(entry.path)(**known))
