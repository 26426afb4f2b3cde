"""When a notice is tried again, and when a webhook is left alone."""

from __future__ import annotations

from itertools import pairwise

from millrace.lifecycle.redelivery import BREAKS_AFTER, LONGEST_SECONDS, rest_after, wait_after


def test_the_schedule_of_a_webhook_that_never_answers() -> None:
    at, tries, begun = 0.0, 1, [0.0]
    while (wait := wait_after(tries, at)) is not None:
        at, tries = at + wait, tries + 1
        begun.append(at)
    hours = [round(each / 3600, 2) for each in begun]
    assert [b - a for a, b in pairwise(begun)][:6] == [
        5,
        300,
        1_800,
        7_200,
        28_800,
        86_400,
    ]
    assert hours == [0.0, 0.0, 0.08, 0.58, 2.58, 10.58, 34.58, 58.58]
    assert begun[-1] <= LONGEST_SECONDS


def test_a_notice_that_was_kept_waiting_is_given_up_by_its_age() -> None:
    assert wait_after(1, LONGEST_SECONDS - 5) == 5
    assert wait_after(1, LONGEST_SECONDS) is None
    assert wait_after(500, 0) == 86_400


def test_rests_grow_and_stay_within_an_hour() -> None:
    assert rest_after(BREAKS_AFTER - 1) is None
    assert [rest_after(BREAKS_AFTER + n) for n in range(5)] == [300, 600, 1_200, 2_400, 3_600]
    assert rest_after(10_000) == 3_600
