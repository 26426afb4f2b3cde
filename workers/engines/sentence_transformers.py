"""The engine for text embeddings: a local folder of sentence-transformers.

Tokens are made and counted in `prepare`, each row padded only to the longest of its own batch; the
forward pass is the model's own modules, pooling and normalising as the library does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from millrace.errors import InvalidInput, ModelError
from millrace.types import Json
from workers.batching import Places
from workers.device import torch_on
from workers.engines.base import Budget, Device, Limits, Loaded, Prepared, Refused, Traits
from workers.engines.batch_engine import BatchEngine
from workers.engines.columns import is_text, nulls, only_column, to_arrow
from workers.engines.options import BatchOptions, read_options
from workers.engines.user_code import describe

_TOKENS = {"cpu": 2_048, "cuda": 16_384, "mps": 8_192}
_ROWS = 1_024


class SentenceTransformersOptions(BatchOptions):
    precision: Literal["fp32", "bf16"] = "fp32"
    truncate: Literal["end", "error"] = "end"
    """What becomes of a text longer than the model reads: cut off at the end, or refused."""
    prompt: str | None = None
    """Put before every text; else the model's own default prompt, if it has one."""
    normalize: bool = False
    """Scale embeddings to length 1, for models that do not."""


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Features of each row, such as ``input_ids``, as lists of different lengths."""

    features: dict[str, list[list[int]]]
    shared: dict[str, Any]
    """What holds for all rows: modality and prompt length."""

    def take(self, rows: Places) -> tuple[dict[str, list[list[int]]], dict[str, Any]]:
        picked = {name: [each[row] for row in rows] for name, each in self.features.items()}
        return picked, self.shared


class SentenceTransformersEngine(BatchEngine):
    """Embeds one text column into a column ``embedding`` of 32-bit floats."""

    traits: ClassVar[Traits] = Traits(
        "batch", ("cpu", "cuda", "mps"), "a local folder written by SentenceTransformer.save"
    )
    truncated: int = 0
    """Texts cut off since the model was loaded."""

    def load(
        self,
        location: Path | str,
        sha256: str | None,
        device: Device,
        limits: Limits,
        options: Mapping[str, Json],
    ) -> Loaded:
        self._options = read_options(SentenceTransformersOptions, "sentence-transformers", options)
        self._device = device
        self._torch = torch_on(device, limits.threads)
        self._model = _load(Path(location), device)
        self._length = self._model.max_seq_length or 1 << 30
        if self._options.precision == "bf16":
            self._model = self._model.to(self._torch.bfloat16)
        self._prompt = self._options.prompt or _default_prompt(self._model)
        self._width = self._embedding_width()
        kind = pa.list_(pa.float32(), self._width)
        return Loaded(self._fingerprint(sha256), pa.schema([pa.field("embedding", kind)]))

    def input_columns(self, schema: pa.Schema, asked: tuple[str, ...] | None) -> tuple[str, ...]:
        usual = ("text", "content", "sentence", "body", "document")
        return (only_column(schema, asked, is_text, "text column", usual),)

    def prepare(self, rows: pa.RecordBatch) -> Prepared:
        kept, refused = nulls(rows)
        texts = rows.column(0).take(pa.array(kept)).to_pylist()
        features, shared = self._tokenise(texts)
        cost = np.array([len(each) for each in features["input_ids"]], dtype=np.int64)
        too_long = self._too_long(texts, cost)
        self.truncated += len(too_long)
        if too_long and self._options.truncate == "error":
            fits = np.array([place for place in range(len(kept)) if place not in too_long], int)
            refused += tuple(
                Refused(int(kept[place]), "INPUT_TOO_LONG", self._excess(tokens))
                for place, tokens in too_long.items()
            )
            features = {name: [each[at] for at in fits] for name, each in features.items()}
            kept, cost = kept[fits], cost[fits]
        return Prepared(_Tokens(features, shared), kept, cost, np.zeros_like(kept), refused)

    def size_hint(self) -> Budget:
        tokens = self._options.max_cost or _TOKENS[self._device.partition(":")[0]]
        return Budget(self._options.max_rows or _ROWS, tokens, "padded")

    def predict(self, batch: Any) -> pa.RecordBatch:
        rows, shared = batch
        features = self._model.tokenizer.pad(rows, return_tensors="pt")
        on_device = {name: each.to(self._device) for name, each in features.items()}
        with self._torch.inference_mode():
            vectors = self._model({**on_device, **shared})["sentence_embedding"].float()
            if self._model.truncate_dim is not None:
                vectors = vectors[:, : self._model.truncate_dim]
            if self._options.normalize:
                vectors = self._torch.nn.functional.normalize(vectors, dim=1)
        values = vectors.cpu().numpy()
        return pa.RecordBatch.from_pydict({"embedding": to_arrow(values, len(values))})

    def _tokenise(self, texts: list[str]) -> tuple[dict[str, list[list[int]]], dict[str, Any]]:
        if not texts:
            return {"input_ids": []}, {}
        loose = {"text": {"padding": False}, "common": {"return_tensors": None}}
        made = self._model[0].preprocess(texts, prompt=self._prompt, processing_kwargs=loose)
        shared = {name: made.pop(name) for name in ("modality", "prompt_length") if name in made}
        return dict(made), shared

    def _too_long(self, texts: list[str], cost: Places) -> dict[int, int]:
        """Full token counts of the texts that were cut off, by place."""
        full = np.flatnonzero(cost >= self._length)
        if not len(full):
            return {}
        whole = self._model.tokenizer([(self._prompt or "") + texts[at] for at in full])
        counts = zip(full.tolist(), map(len, whole["input_ids"]), strict=True)
        return {place: tokens for place, tokens in counts if tokens > self._length}

    def _excess(self, tokens: int) -> str:
        return f"the text has {tokens} tokens; this model reads {self._length}"

    def _embedding_width(self) -> int:
        features, shared = self._tokenise(["width"])
        return int(self.predict((features, shared)).column(0).type.list_size)

    def _fingerprint(self, sha256: str | None) -> dict[str, Json]:
        import sentence_transformers
        import transformers

        return {
            "engine": "sentence-transformers",
            "model": sha256,
            "options": self._options.model_dump(mode="json", exclude={"max_rows", "max_cost"}),
            "sentence_transformers": sentence_transformers.__version__,
            "transformers": transformers.__version__,
            "torch": str(self._torch.__version__),
        }


def _load(folder: Path, device: Device) -> Any:
    if not (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
        raise ModelError(
            "MODEL_FORMAT",
            f"{str(folder)!r} is no folder of sentence-transformers: it has no modules.json",
            "give a folder written by SentenceTransformer.save or save_pretrained",
        )
    try:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(
            str(folder),
            device=device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        ).eval()
    except ImportError as error:
        raise ModelError(
            "SENTENCE_TRANSFORMERS_MISSING",
            f"this engine needs sentence-transformers, which cannot be imported: {error}",
            "install it with: pip install 'millrace[sentence-transformers]'",
        ) from None
    except Exception as error:
        raise ModelError(
            "MODEL_LOAD",
            f"{str(folder)!r} does not load: {describe(error)}",
            "check that the folder is complete; weights have to be safetensors",
        ) from None
    if getattr(model, "tokenizer", None) is None or "text" not in model.modalities:
        raise InvalidInput(
            "MODEL_UNSUITABLE", f"{str(folder)!r} reads no text", "use an engine made for it"
        )
    return model


def _default_prompt(model: Any) -> str | None:
    name = model.default_prompt_name
    return model.prompts.get(name) if name else None
