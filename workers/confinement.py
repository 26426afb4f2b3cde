"""How the compute child sets itself up: alone, mortal, bounded, offline, without secrets."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from pathlib import Path

import multiprocess

from millrace.lifeline import die_with


def confine(threads: int, memory_bytes: int | None) -> None:
    """Make this process a group of its own that dies with its parent and is the first to be killed
    when memory runs out; whatever user code prints goes to the log.
    """
    os.setsid()
    die_with(multiprocess.parent_process().pid)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    _set_environment(threads)
    _forget_settings()
    _print_to_stderr()


def _set_environment(threads: int) -> None:
    """Before anything reads them: no model hub, no chatter, no more threads than given."""
    os.environ.update(
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        TRANSFORMERS_VERBOSITY="error",
        TOKENIZERS_PARALLELISM="true" if threads > 1 else "false",
        RAYON_NUM_THREADS=str(threads),
        OMP_NUM_THREADS=str(threads),
        MKL_NUM_THREADS=str(threads),
        OPENBLAS_NUM_THREADS=str(threads),
    )


def _forget_settings() -> None:
    """Nothing here needs them, and user code has no business with the database's address."""
    for name in [name for name in os.environ if name.startswith("MILLRACE_")]:
        del os.environ[name]


def _print_to_stderr() -> None:
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = sys.stderr
