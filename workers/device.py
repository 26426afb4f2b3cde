"""What the accelerator says, without importing torch before an engine has."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

from millrace.errors import ModelError

_MEMORY_TEXTS = (
    "DefaultCPUAllocator",
    "CUDA out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
)


_NVIDIA = Path("/dev/nvidiactl")
"""Tells a machine without a GPU, so that nothing imports torch there only to ask."""


class DeviceLost(Exception):
    """The device is unusable for the rest of this process, which has to end."""


def resolve(device: str) -> str:
    """``"auto"`` made concrete: the first GPU where there is one, else the CPU."""
    if device != "auto":
        return device
    if not _NVIDIA.exists():
        return "cpu"
    try:
        import torch
    except ImportError:
        return "cpu"
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may help; torch reports a full host as a plain `RuntimeError`."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _MEMORY_TEXTS)


def is_lost(error: BaseException) -> bool:
    """Whether a failed kernel has poisoned the CUDA context: every later call would fail too."""
    torch = sys.modules.get("torch")
    if torch is None or is_out_of_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or "device-side assert" in str(error)


def free_memory() -> None:
    """Give back what caches hold, after an out-of-memory."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def torch_on(device: str, threads: int) -> Any:
    """Import torch for `device` with so many compute threads and return the module.

    Raises `ModelError` where torch is not installed or the device is not there.
    """
    try:
        import torch
    except ImportError as error:
        raise ModelError(
            "TORCH_MISSING",
            f"this engine needs torch, which cannot be imported: {error}",
            "install it with: pip install 'millrace[torch]'",
        ) from None
    torch.set_num_threads(threads)
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError("DEVICE_MISSING", f"there is no {device} here", "use --device cpu")
    return torch
