"""The program that everybody would write first: one process, one loop, no safety."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.contestants.arguments import Order, read_order

BATCH_ROWS = 65_536


def embed_texts(order: Order) -> None:
    """JSON lines with `id` and `text` to JSON lines with `id` and `embedding`."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(order.model), device="cpu", local_files_only=True)
    with order.input.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    vectors = model.encode([row["text"] for row in rows])
    with (order.output / "results.jsonl").open("w", encoding="utf-8") as results:
        for row, vector in zip(rows, vectors, strict=True):
            results.write(json.dumps({"id": row["id"], "embedding": vector.tolist()}) + "\n")


def predict_floats(order: Order) -> None:
    """Parquet with columns of float32 through an exported program to Parquet."""
    import torch

    model = torch.export.load(order.model / "mlp.pt2").module()
    schema = pa.schema([("prediction", pa.list_(pa.float32()))])
    source = pq.ParquetFile(order.input, pre_buffer=False)
    with (
        torch.inference_mode(),
        pq.ParquetWriter(order.output / "results.parquet", schema) as results,
    ):
        for batch in source.iter_batches(BATCH_ROWS):
            rows = np.stack([column.to_numpy() for column in batch.columns], axis=1)
            found = model(torch.from_numpy(rows)).numpy()
            offsets = np.arange(len(found) + 1, dtype=np.int32) * found.shape[1]
            lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(found.ravel()))
            results.write_batch(pa.RecordBatch.from_arrays([lists], schema=schema))


if __name__ == "__main__":
    asked = read_order()
    asked.output.mkdir(parents=True)
    {"texts": embed_texts, "floats": predict_floats}[asked.workload](asked)
