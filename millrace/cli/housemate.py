"""A service beside others on one machine: started again when it dies, each time a little later."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from millrace import lifeline
from millrace.telemetry import fields

log = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
_SETTLED_SECONDS = 60.0


class Housemate:
    """One process that dies with this one, however that ends; what it says goes to a file.

    `sockets` are the numbers of those that it inherits.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        output: Path,
        *,
        sockets: Sequence[int] = (),
    ) -> None:
        self._name = name
        self._command = list(command)
        self._environment = environment
        self._output = output
        self._sockets = tuple(sockets)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = float("-inf")
        self._delay = _FIRST_DELAY_SECONDS
        self._again_at = float("-inf")

    def keep(self) -> None:
        """See that it runs, or will run again after a while."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._again_at:
                self._start(now)
            return
        code = self._process.poll()
        if code is None:
            return
        self._process = None
        if now - self._started > _SETTLED_SECONDS:
            self._delay = _FIRST_DELAY_SECONDS
        told = fields(exit_code=code, again_in=f"{self._delay:g}s", log=self._output)
        log.warning("%s ended %s", self._name, told)
        self._again_at = now + self._delay
        self._delay = min(2 * self._delay, _LONGEST_DELAY_SECONDS)

    def drain(self) -> None:
        """Ask it to finish what it does and to end."""
        if self._process is not None:
            self._process.terminate()

    def is_gone(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """End it now, if it has not ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _start(self, now: float) -> None:
        self._started = now
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=self._sockets,
                preexec_fn=lifeline.die_with_caller,
            )
