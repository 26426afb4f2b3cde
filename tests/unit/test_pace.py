from __future__ import annotations

from millrace.types import JobId
from workers.pace import Pace

JOB, OTHER = JobId("job"), JobId("other")


def test_a_job_that_is_new_here_begins_with_one_chunk() -> None:
    pace = Pace(seconds=1.0, most=64)
    assert pace.size(JOB) == 1
    pace.learn(JOB, 1, 0.001)
    assert pace.size(JOB) > 1
    assert pace.size(OTHER) == 1


def test_batches_grow_step_by_step_up_to_the_most() -> None:
    pace, sizes = Pace(seconds=1.0, most=64), list[int]()
    for _ in range(4):
        pace.learn(JOB, pace.size(JOB), pace.size(JOB) * 0.001)
        sizes.append(pace.size(JOB))
    assert sizes == [8, 64, 64, 64]


def test_a_batch_is_about_a_second_of_work_and_shrinks_at_once() -> None:
    pace = Pace(seconds=1.0, most=64)
    for _ in range(3):
        pace.learn(JOB, 10, 1.0)
    assert pace.size(JOB) == 10
    pace.learn(JOB, 2, 5.0)
    assert pace.size(JOB) == 1


def test_what_takes_longer_than_a_batch_goes_one_at_a_time() -> None:
    pace = Pace(seconds=1.0, most=64)
    pace.learn(JOB, 1, 30.0)
    assert (pace.size(JOB), pace.ahead) == (1, 0)


def test_only_moments_of_work_are_given_ahead() -> None:
    pace = Pace(seconds=1.0, most=64)
    pace.learn(JOB, 10, 0.4)
    assert pace.ahead == 2
    pace.learn(JOB, 10, 0.0)
    assert pace.ahead == 16
