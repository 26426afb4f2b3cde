"""A small network for the engine `torch`, and numbers to put through it.

python examples/mlp.py FOLDER     writes mlp.pt2, mlp.safetensors and points.parquet
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file
from torch import nn

COLUMNS = 8
ROWS = 10_000


class Mlp(nn.Module):
    """Eight numbers in, three scores out; `hidden` is the width of the layer between them."""

    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(COLUMNS, hidden), nn.GELU(), nn.Linear(hidden, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers(x)
        return scores


def main(folder: Path) -> None:
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    model = Mlp().eval()
    save_file(model.state_dict(), folder / "mlp.safetensors")
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(
        model, (torch.zeros(4, COLUMNS),), dynamic_shapes={"x": {0: batch}}
    )
    torch.export.save(program, folder / "mlp.pt2")
    numbers = np.random.default_rng(0).normal(size=(COLUMNS, ROWS)).astype(np.float32)
    table = pa.table({f"x{n}": column for n, column in enumerate(numbers)})
    pq.write_table(table, folder / "points.parquet")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
