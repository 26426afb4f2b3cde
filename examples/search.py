"""Searches embedded texts: reads a finished output folder and shows the rows nearest to a question.

    python examples/search.py .demo/embeddings .demo/docstrings.jsonl "parse a date"

What belongs to the results is what the manifest lists, never what a listing shows.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from millrace.manifest import MANIFEST, Manifest

Vectors = NDArray[np.float32]


def read_results(output: Path, manifest: Manifest) -> pa.Table:
    """All parts in input order, as one table."""
    readers = {".jsonl": pyarrow.json.read_json, ".parquet": pyarrow.parquet.read_table}
    return pa.concat_tables(
        readers[Path(part.path).suffix](output / part.path) for part in manifest.parts if part.rows
    )


def unit_vectors(table: pa.Table) -> Vectors:
    """The one column of lists as an array of shape (rows, dimensions), each row of length 1."""
    column = next(each for each in table.columns if pa.types.is_nested(each.type))
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors = np.array(flat, dtype=np.float32).reshape(table.num_rows, -1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def embed(question: str, model: str) -> Vectors:
    """The question as a vector of length 1, shape (dimensions,), by the model in the folder."""
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(model, device="cpu", local_files_only=True)
    return np.asarray(encoder.encode(question, normalize_embeddings=True), dtype=np.float32)


def show(question: str, answers: list[tuple[float, dict[str, str]]]) -> None:
    table = Table(title=f"“{question}”", title_justify="left", box=None, pad_edge=False)
    table.add_column("score", justify="right", style="green")
    table.add_column("where", style="bold", overflow="fold")
    table.add_column("what it says")
    for score, row in answers:
        table.add_row(f"{score:.3f}", row["id"], row["text"].splitlines()[0])
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Find the texts nearest in meaning to a question.")
    parser.add_argument("output", type=Path, help="a finished output folder")
    parser.add_argument("input", type=Path, help="the JSON lines that were embedded")
    parser.add_argument("question", nargs="+")
    parser.add_argument("--top", type=int, default=5)
    arguments = parser.parse_args()

    question = " ".join(arguments.question)
    manifest = Manifest.from_bytes((arguments.output / MANIFEST).read_bytes())
    results = read_results(arguments.output, manifest)
    scores = unit_vectors(results) @ embed(question, manifest.spec.model.location)
    best = np.argsort(-scores)[: arguments.top]

    with arguments.input.open(encoding="utf-8") as lines:
        texts = {row["id"]: row for row in map(json.loads, lines)}
    ids = results.column(manifest.spec.key or "id").to_pylist()
    show(question, [(float(scores[place]), texts[ids[place]]) for place in best])


if __name__ == "__main__":
    main()
