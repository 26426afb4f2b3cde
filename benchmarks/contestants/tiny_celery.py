"""One Celery task for each row, results in Redis: two prefork workers, everything else as it comes.

``celery -A benchmarks.contestants.tiny_celery worker`` runs the same file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from celery import Celery
from celery.result import ResultSet

from benchmarks.contestants.tiny_tasks import WARM_UP, Race, read_race
from millrace.cli.embedded_broker import embedded_broker

_URL = "TINY_CELERY_URL"
_SECONDS = 600.0

app = Celery("tiny", broker=os.environ.get(_URL), backend=os.environ.get(_URL))


def give_back(row: dict[str, int]) -> dict[str, int]:
    return row


echo = app.task(give_back, name="echo")


def _run(tasks: int) -> float:
    began = time.perf_counter()
    results = ResultSet([echo.delay({"id": n}) for n in range(tasks)])
    assert len(results.join_native(timeout=_SECONDS)) == tasks
    return time.perf_counter() - began


def main(race: Race) -> None:
    with embedded_broker() as url:
        os.environ[_URL] = url
        app.conf.update(broker_url=url, result_backend=url)
        log = (race.folder / "celery.log").open("wb")
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.contestants.tiny_celery"]
        command += ["worker", "--concurrency", "2", "--loglevel", "warning"]
        with subprocess.Popen(command, stdout=log, stderr=log) as worker:
            _run(WARM_UP)
            print(_run(race.tasks))
            worker.terminate()


if __name__ == "__main__":
    main(read_race())
