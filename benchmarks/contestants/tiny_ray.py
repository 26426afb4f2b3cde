"""One Ray task for each row, on two CPUs; runs in an environment of its own."""

from __future__ import annotations

import time

import ray

from benchmarks.contestants.tiny_tasks import WARM_UP, Race, read_race


def give_back(row: dict[str, int]) -> dict[str, int]:
    return row


echo = ray.remote(give_back)


def _run(tasks: int) -> float:
    began = time.perf_counter()
    results = ray.get([echo.remote({"id": n}) for n in range(tasks)])
    assert len(results) == tasks
    return time.perf_counter() - began


def main(race: Race) -> None:
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error")
    _run(WARM_UP)
    print(_run(race.tasks))
    ray.shutdown()


if __name__ == "__main__":
    main(read_race())
