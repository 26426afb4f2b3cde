"""The one engine that a compute process holds, loaded once and kept while orders ask for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from millrace import catalog
from millrace.errors import ModelError, NotFound
from millrace.registry.fingerprint import model_files, sha256_of
from millrace.spec import JobSpec
from workers import device
from workers.budget_file import BudgetFile
from workers.budget_tuner import BudgetTuner
from workers.engines.base import Engine, Limits, Loaded
from workers.engines.batch_engine import BatchEngine

Stamp = tuple[tuple[str, int, int], ...]
"""Name, size and modification time of each file of a model."""


@dataclass(slots=True)
class _Held:
    key: str
    spec: JobSpec
    engine: Engine
    loaded: Loaded
    budgets: BudgetFile | None
    written: int | None


class EngineCache:
    """Loads engines on one device. What was learned of batch sizes outlives the process."""

    def __init__(self, on: str, limits: Limits, budget_folder: Path | None) -> None:
        self._device = on
        self._limits = limits
        self._budget_folder = budget_folder
        self._verified: dict[Stamp, str] = {}
        self._held: _Held | None = None
        self.is_new = False
        """Whether the engine that was last asked for had to be loaded."""

    def get(self, spec: JobSpec) -> tuple[Engine, Loaded]:
        """The engine for `spec`, loaded and verified; `ModelError` says why there is none."""
        self.is_new = False
        if self._held is not None and self._held.spec is spec and self._held.engine.health():
            return self._held.engine, self._held.loaded
        key = json.dumps([spec.model.model_dump(mode="json"), spec.options], sort_keys=True)
        held = self._held
        if held is None or held.key != key or not held.engine.health():
            self.close()
            held = self._held = self._load(key, spec)
            self.is_new = True
        held.spec = spec
        return held.engine, held.loaded

    def remember(self) -> None:
        """Write down what the present engine has learned, where that is new."""
        held = self._held
        if held is None or held.budgets is None or not isinstance(held.engine, BatchEngine):
            return
        learned = held.engine.tuner.learned if held.engine.tuner is not None else None
        if learned is not None and learned != held.written:
            held.budgets.write(learned)
            held.written = learned

    def close(self) -> None:
        """Let the engine go, with its memory."""
        if self._held is not None:
            self._held.engine.close()
            self._held = None
            device.free_memory()

    def _load(self, key: str, spec: JobSpec) -> _Held:
        model, options = spec.model, spec.options
        if model.sha256 is not None:
            self._verify(model.location, model.sha256)
        engine: Engine = catalog.load(catalog.engine(model.engine).path)()
        loaded = engine.load(model.location, model.sha256, self._device, self._limits, options)
        held = _Held(key, spec, engine, loaded, None, None)
        if isinstance(engine, BatchEngine):
            fixed = options.get("max_cost") is not None
            if self._budget_folder is not None and not fixed:
                held.budgets = BudgetFile(self._budget_folder, loaded.fingerprint, self._device)
                held.written = held.budgets.read()
            engine.tuner = BudgetTuner(engine.size_hint(), held.written, fixed)
        return held

    def _verify(self, location: str, expected: str) -> None:
        path = _path(location)
        try:
            stamp = _stamp(path)
            found = self._verified.get(stamp) or sha256_of(path)
        except NotFound as missing:
            raise ModelError(missing.code, missing.message, missing.hint) from None
        if found != expected:
            raise ModelError(
                "MODEL_CHANGED",
                f"{path} has SHA-256 {found[:12]}…, the job was made for {expected[:12]}…",
                "put the model back as it was, or start a new job with the new one",
            )
        self._verified[stamp] = found


def _path(location: str) -> Path:
    """The file or folder of ``PATH`` or ``PATH:CLASS``."""
    whole, (path, _, _) = Path(location), location.rpartition(":")
    return whole if whole.exists() or not path else Path(path)


def _stamp(path: Path) -> Stamp:
    files = [(str(file), file.stat()) for file in model_files(path)]
    return tuple((name, found.st_size, found.st_mtime_ns) for name, found in files)
