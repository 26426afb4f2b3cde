"""The engine for torch models: an exported program (``.pt2``), or safetensors with a module.

Pickled models are never opened. Inputs are numbers: columns side by side, or one column of lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from millrace.errors import InvalidInput
from millrace.types import Json
from workers.batching import Places
from workers.device import torch_on
from workers.engines.base import Budget, Device, Limits, Loaded, Prepared, Traits
from workers.engines.batch_engine import BatchEngine
from workers.engines.columns import chosen, is_number, is_vector, nulls, to_arrow
from workers.engines.options import BatchOptions, read_options
from workers.engines.torch_load import LoadedModel, load_model

_ROWS = 1_024
_LARGEST = 1 << 20


class TorchOptions(BatchOptions):
    module: str | None = None
    """For safetensors: ``FILE.py:CLASS`` or ``PACKAGE.MODULE:CLASS`` of the `torch.nn.Module`."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the module's constructor."""
    dtype: Literal["float32", "float64", "int64", "int32"] = "float32"
    """What a module's input is cast to; an exported program knows its own."""
    precision: Literal["fp32", "bf16"] = "fp32"


@dataclass(frozen=True, slots=True)
class _Matrix:
    """Rows of numbers of shape (rows, width), or arrays of different lengths."""

    rows: list[NDArray[Any]] | NDArray[Any]

    def take(self, rows: Places) -> NDArray[Any]:
        if isinstance(self.rows, np.ndarray):
            return np.asarray(self.rows[rows])
        return np.stack([self.rows[row] for row in rows])


class TorchEngine(BatchEngine):
    """Tensor in, tensor or dict of tensors out; rows of different lengths never share a batch."""

    traits: ClassVar[Traits] = Traits(
        "batch",
        ("cpu", "cuda", "mps"),
        "a .pt2 file of torch.export, or safetensors with the option module=FILE.py:CLASS",
    )

    def load(
        self,
        location: Path | str,
        sha256: str | None,
        device: Device,
        limits: Limits,
        options: Mapping[str, Json],
    ) -> Loaded:
        self._options = read_options(TorchOptions, "torch", options)
        self._torch = torch_on(device, limits.threads)
        self._device = device
        self._model: LoadedModel = load_model(
            Path(location), self._options.module, self._options.arguments, device
        )
        self._dtype = self._model.dtype or getattr(self._torch, self._options.dtype)
        fingerprint: dict[str, Json] = {
            "engine": "torch",
            "model": sha256,
            "module": self._model.code_sha256,
            "options": self._options.model_dump(mode="json", exclude={"max_rows", "max_cost"}),
            "torch": str(self._torch.__version__),
        }
        return Loaded(fingerprint, None)

    def input_columns(self, schema: pa.Schema, asked: tuple[str, ...] | None) -> tuple[str, ...]:
        names = tuple(schema.names) if asked is None else chosen(schema, asked)
        vectors = tuple(name for name in names if is_vector(schema.field(name).type))
        numbers = tuple(name for name in names if is_number(schema.field(name).type))
        if asked is None and len(vectors) == 1:
            return vectors
        usable = vectors if len(vectors) == 1 and not numbers else numbers
        if not usable or (asked is not None and usable != asked) or (asked is None and vectors):
            there = ", ".join(vectors + numbers) or "none fits"
            raise InvalidInput(
                "COLUMN_CHOICE",
                "a torch model reads one column of lists of numbers, or several columns of numbers",
                f"choose with --input-columns; candidates: {there}",
            )
        return usable

    def prepare(self, rows: pa.RecordBatch) -> Prepared:
        kept, refused = nulls(rows)
        if len(kept) < rows.num_rows:
            rows = rows.take(pa.array(kept))
        matrix, width = _numbers(rows)
        return Prepared(_Matrix(matrix), kept, np.ones_like(kept), width, refused)

    def size_hint(self) -> Budget:
        most = min(self._options.max_rows or _LARGEST, self._model.most_rows or _LARGEST)
        return Budget(most, self._options.max_cost or min(_ROWS, most), "sum")

    def predict(self, batch: NDArray[Any]) -> pa.RecordBatch:
        rows = len(batch)
        tensor = self._torch.from_numpy(batch).to(self._device, self._dtype)
        missing = self._model.least_rows - rows
        if missing > 0:
            tensor = self._torch.cat([tensor, tensor[-1:].repeat(missing, *[1] * (batch.ndim - 1))])
        with self._torch.inference_mode(), self._precision():
            outputs = self._model.call(tensor)
        columns = {
            name: to_arrow(self._array(each, rows), rows) for name, each in _named(outputs).items()
        }
        return pa.RecordBatch.from_pydict(columns)

    def _precision(self) -> Any:
        bf16 = self._options.precision == "bf16"
        kind = self._device.partition(":")[0]
        return self._torch.autocast(kind, dtype=self._torch.bfloat16, enabled=bf16)

    def _array(self, tensor: Any, rows: int) -> NDArray[Any]:
        """A result on the host, padding cut off; a single number per row loses its dimension."""
        if tensor.is_floating_point() and tensor.element_size() < 4:
            tensor = tensor.float()
        array = np.asarray(tensor[:rows].cpu().numpy())
        return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _named(outputs: Any) -> Mapping[str, Any]:
    if isinstance(outputs, Mapping):
        return {str(name): each for name, each in outputs.items()}
    if isinstance(outputs, (tuple, list)):
        return {f"prediction_{place}": each for place, each in enumerate(outputs)}
    return {"prediction": outputs}


def _numbers(rows: pa.RecordBatch) -> tuple[NDArray[Any] | list[NDArray[Any]], Places]:
    """The rows as numbers, and the width of each, which is its group."""
    first = rows.column(0)
    if is_vector(first.type):
        return _vectors(first)
    matrix = np.empty((rows.num_rows, rows.num_columns), dtype=_common_dtype(rows.schema))
    for place, column in enumerate(rows.columns):
        matrix[:, place] = column.to_numpy(zero_copy_only=False)
    return matrix, np.full(rows.num_rows, rows.num_columns)


def _vectors(column: pa.Array) -> tuple[NDArray[Any] | list[NDArray[Any]], Places]:
    width = pc.list_value_length(column).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = column.flatten().to_numpy(zero_copy_only=False)
    if len(width) and (width == width[0]).all():
        return flat.reshape(len(column), int(width[0])), width
    return np.split(flat, np.cumsum(width)[:-1]) if len(width) else [], width


def _common_dtype(schema: pa.Schema) -> Any:
    kinds = [np.dtype(kind.to_pandas_dtype()) for kind in schema.types]
    return np.result_type(*kinds)
