"""Opening torch models: exported programs, and safetensors into a module. Never a pickle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.errors import ModelError
from workers.engines.no_pickle import no_pickle
from workers.engines.user_code import describe, load_class

_PICKLES = frozenset({".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib"})
_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A callable from one tensor to results, and the batches that it takes."""

    call: Callable[[Any], Any]
    dtype: Any = None
    """The torch dtype of its input, where the model says so."""
    least_rows: int = 1
    most_rows: int | None = None
    code_sha256: str | None = None


def load_model(
    location: Path, module: str | None, arguments: Mapping[str, Any], device: str
) -> LoadedModel:
    """Open `location` on `device`; `ModelError` says what is wrong with it."""
    if location.suffix in _PICKLES:
        raise ModelError(
            "MODEL_FORMAT_FORBIDDEN",
            f"{location.name} is a pickle, which can run any code when it is opened",
            "convert it with torch.export.save or safetensors.torch.save_file",
        )
    if not location.exists():
        raise ModelError("MODEL_NOT_FOUND", f"there is no model at {str(location)!r}")
    try:
        if location.suffix == ".pt2":
            return _load_program(location, device)
        return _load_module(location, module, arguments, device)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            "MODEL_LOAD",
            f"{str(location)!r} does not load: {describe(error)}",
            "check that the file is complete and was saved by a torch that fits this one",
        ) from None


def _load_program(file: Path, device: str) -> LoadedModel:
    import torch

    with no_pickle(file.name):
        program = torch.export.load(file)
    names = program.graph_signature.user_inputs
    if len(names) != 1:
        raise ModelError(
            "MODEL_INPUTS",
            f"{file.name} takes {len(names)} inputs; this engine feeds exactly one tensor",
            "export a module that takes one tensor",
        )
    node = next(each for each in program.graph.nodes if each.name == names[0])
    example = node.meta["val"]
    least, most = _batch_range(program, example.shape[0])
    if device != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    return LoadedModel(program.module(), example.dtype, least, most)


def _batch_range(program: Any, rows: Any) -> tuple[int, int | None]:
    """Fewest and most rows of one call; a program without a dynamic batch takes just one number."""
    if isinstance(rows, int):
        return rows, rows
    bounds = program.range_constraints.get(rows.node.expr)
    if bounds is None:
        return 1, None
    upper = bounds.upper
    return max(1, int(bounds.lower)), int(upper) if upper.is_finite and upper < 1 << 40 else None


def _load_module(
    location: Path, module: str | None, arguments: Mapping[str, Any], device: str
) -> LoadedModel:
    import torch

    if module is None:
        raise ModelError(
            "MODULE_MISSING",
            f"{location.name} holds weights only",
            "name the class with the option module=FILE.py:CLASS",
        )
    reference, code = _near(location, module)
    kind = load_class(reference, torch.nn.Module)
    network = kind(**arguments)
    _fill(network, _weights(location), location)
    digest = hashlib.sha256(code.read_bytes()).hexdigest() if code is not None else None
    return LoadedModel(network.eval().to(device), code_sha256=digest)


def _near(location: Path, module: str) -> tuple[str, Path | None]:
    """The reference with its file found beside the weights, else where we are."""
    name, _, kind = module.rpartition(":")
    if not name.endswith(".py"):
        return module, None
    folder = location if location.is_dir() else location.parent
    beside = folder / name
    file = beside if beside.is_file() else Path(name)
    return f"{file}:{kind}", file if file.is_file() else None


def _weights(location: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    files = sorted(location.glob("*.safetensors")) if location.is_dir() else [location]
    if not files or files[0].suffix != ".safetensors":
        raise ModelError(
            "MODEL_FORMAT",
            f"{str(location)!r} is neither a .pt2 file nor safetensors, and holds none",
            "give a .pt2 file, a .safetensors file, or a folder with .safetensors files",
        )
    weights: dict[str, Any] = {}
    for file in files:
        weights.update(load_file(file))
    return weights


def _fill(network: Any, weights: dict[str, Any], location: Path) -> None:
    expected = network.state_dict()
    faults = [f"{name} is missing" for name in expected if name not in weights]
    faults += [f"{name} is unknown to the module" for name in weights if name not in expected]
    faults += [
        f"{name} has shape {tuple(weights[name].shape)}, not {tuple(each.shape)}"
        for name, each in expected.items()
        if name in weights and weights[name].shape != each.shape
    ]
    if faults:
        more = f" and {len(faults) - _NAMES_SHOWN} more" if len(faults) > _NAMES_SHOWN else ""
        raise ModelError(
            "WEIGHTS_MISMATCH",
            f"{location.name} does not fit {type(network).__name__}: "
            f"{'; '.join(faults[:_NAMES_SHOWN])}{more}",
            "give the class and arguments that the weights were saved from",
        )
    network.load_state_dict(weights, strict=True)
