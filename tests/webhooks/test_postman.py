"""Each notice arrives at least once, signed and under one id, and keeps nobody waiting."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from millrace.db.session import Database
from millrace.lifecycle import deliveries, endpoints, outbox
from millrace.lifecycle.redelivery import BREAKS_AFTER
from millrace.types import DeliveryState
from scheduler.postman import CLAIM_SECONDS, PER_WEBHOOK, headers
from tests.lifecycle.stage import NOW
from tests.waiting import until
from tests.webhooks.post import Post, office
from tests.webhooks.receiver import answering, receiving

DAY = 86_400.0


@pytest.fixture
def post(database: Database) -> Iterator[Post]:
    with office(database) as opened:
        yield opened


def test_a_notice_arrives_signed(post: Post) -> None:
    job_id = post.end_job(now=None)
    post.round(post.postman(), now=None)
    [told] = post.receiver.told
    verified = Webhook(post.secret).verify(told.body, told.headers)
    assert (verified["type"], verified["data"]["job"]) == ("job.failed", job_id)
    assert told.headers["content-type"] == "application/json"
    [notice] = post.notices()
    assert (notice.state, notice.last_status, notice.tries) == (DeliveryState.DELIVERED, 204, 1)
    assert notice.id == told.headers["webhook-id"]


def test_who_tampers_or_replays_is_found_out(post: Post) -> None:
    post.end_job(now=None)
    post.round(post.postman(), now=None)
    [told] = post.receiver.told
    verifier = Webhook(post.secret)
    for name, value in (
        ("webhook-id", "msg_other"),
        ("webhook-timestamp", str(int(told.headers["webhook-timestamp"]) - 1)),
        ("webhook-timestamp", str(int(time.time()) - 301)),
        ("webhook-signature", "v1,AAAA"),
    ):
        with pytest.raises(WebhookVerificationError):
            verifier.verify(told.body, told.headers | {name: value})
    with pytest.raises(WebhookVerificationError):
        verifier.verify(told.body.replace(b"failed", b"passed"), told.headers)
    _, other = _another(post)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(told.body, told.headers)


def _another(post: Post) -> tuple[str, str]:
    with post.database.write() as connection:
        return endpoints.register(connection, "default", post.receiver.url)


def test_the_vector_of_the_specification() -> None:
    attempt = deliveries.Try(
        id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        webhook_id="wh",
        attempt=1,
        url="",
        payload='{"test": 2432232314}',
        secrets=("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",),
        moment=1_614_265_330.9,
    )
    signed = headers(attempt)
    assert signed["webhook-timestamp"] == "1614265330"
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_both_secrets_sign_while_one_replaces_the_other(post: Post) -> None:
    with post.database.write() as connection:
        fresh = endpoints.rotate(connection, post.webhook_id, overlap=3_600)
    post.end_job(now=None)
    post.round(post.postman(), now=None)
    with post.database.write() as connection:
        newest = endpoints.rotate(connection, post.webhook_id, overlap=0)
    post.end_job(now=None)
    post.round(post.postman(), now=None)
    overlapping, after = post.receiver.told
    for secret in (post.secret, fresh):
        Webhook(secret).verify(overlapping.body, overlapping.headers)
    Webhook(newest).verify(after.body, after.headers)
    for secret in (post.secret, fresh):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(after.body, after.headers)


def test_a_refusal_is_tried_again_by_the_schedule_and_given_up(post: Post) -> None:
    post.receiver.status = 500
    post.end_job()
    postman, moment, tries = post.postman(), NOW, 0
    while (notice := post.notices()[0]).state == DeliveryState.PENDING:
        moment = float(str(notice.next_at))
        post.round(postman, moment - 0.01)
        assert len(post.receiver.told) == tries, "not too early"
        post.round(postman, moment)
        tries += 1
    assert tries == len(post.receiver.told) == 8
    assert len(set(post.receiver.ids)) == 1
    assert len({each.body for each in post.receiver.told}) == 1
    assert (notice.state, notice.last_status, notice.last_fault) == ("given_up", 500, "status")
    assert moment - NOW <= 3 * DAY


def test_what_the_other_side_says_is_kept_nowhere(post: Post) -> None:
    secret = "what the metadata service says"
    post.receiver.script.append(answering(403, secret.encode(), **{"X-Secret": secret}))
    post.end_job()
    post.round(post.postman())
    assert secret not in repr(post.notices())
    assert post.notices()[0].last_status == 403


def test_a_redirect_counts_as_a_refusal(post: Post) -> None:
    with receiving() as canary:
        post.receiver.script.append(answering(302, Location=canary.url))
        post.end_job()
        post.round(post.postman())
        assert canary.told == []
    assert (post.notices()[0].state, post.notices()[0].last_status) == ("pending", 302)


def test_after_ten_failures_it_is_left_alone_and_then_asked_once(post: Post) -> None:
    post.receiver.status = 503
    for _ in range(BREAKS_AFTER + 5):
        post.end_job()
    postman, moment = post.postman(), NOW
    while post.webhook().rests_until is None:
        post.round(postman, moment)
    asked = len(post.receiver.told)
    assert BREAKS_AFTER <= asked <= BREAKS_AFTER + PER_WEBHOOK - 1
    post.round(postman, moment + 299)
    assert len(post.receiver.told) == asked
    post.round(postman, moment + 301)
    assert len(post.receiver.told) == asked + 1, "one try sees whether it answers again"
    post.round(postman, moment + 302)
    assert len(post.receiver.told) == asked + 1
    moment += 2 * DAY
    with post.database.write() as connection:
        [probe] = deliveries.claim(connection, post.webhook_id, 5, CLAIM_SECONDS, now=moment)
        assert deliveries.claim(connection, post.webhook_id, 5, CLAIM_SECONDS, now=moment) == []
        assert deliveries.failed(connection, probe, "timeout", now=moment)
    post.receiver.status = 200
    moment += 2 * DAY
    post.round(postman, moment)
    assert post.webhook().failures == 0
    while any(each.state == DeliveryState.PENDING for each in post.notices()):
        post.round(postman, moment)
    assert set(post.receiver.ids) == {each.id for each in post.notices()}


def test_each_notice_is_tried_at_least_once_however_long_it_waits(post: Post) -> None:
    post.receiver.status = 500
    tried = post.end_job()
    postman = post.postman()
    post.round(postman)
    waiting = post.end_job()
    with post.database.write() as connection:
        outbox.sweep(connection, now=NOW + 4 * DAY)
    states = {each.job_id: each.state for each in post.notices()}
    assert states == {tried: DeliveryState.GIVEN_UP, waiting: DeliveryState.PENDING}
    post.round(postman, NOW + 4 * DAY)
    assert {each.state for each in post.notices()} == {DeliveryState.GIVEN_UP}
    assert len(post.receiver.told) == 2


def test_what_ended_a_month_ago_is_forgotten(post: Post) -> None:
    post.end_job()
    post.round(post.postman())
    with post.database.write() as connection:
        outbox.sweep(connection, now=NOW + 29 * DAY)
    assert len(post.notices()) == 1
    with post.database.write() as connection:
        outbox.sweep(connection, now=NOW + 31 * DAY)
    assert post.notices() == []


def test_a_notice_is_told_again_under_its_id(post: Post) -> None:
    post.end_job()
    postman = post.postman()
    post.round(postman)
    [notice] = post.notices()
    with post.database.write() as connection:
        again = outbox.redeliver(connection, post.webhook_id, str(notice.id), now=NOW + DAY)
    assert (again.state, again.tries) == (DeliveryState.PENDING, 0)
    post.round(postman, NOW + DAY)
    assert post.receiver.ids == [notice.id] * 2
    assert post.notices()[0].state == DeliveryState.DELIVERED


def test_the_tick_waits_for_nobody_and_one_who_hangs_delays_no_other(post: Post) -> None:
    with receiving() as healthy:
        post.receiver.script = [post.receiver.hang] * 20
        for _ in range(10):
            post.end_job()
        postman = post.postman(threads=4)
        began = time.monotonic()
        for _ in range(20):
            postman.tick(NOW)
        assert time.monotonic() - began < 5, "a try that hangs takes ten seconds"
        assert len(post.receiver.told) <= PER_WEBHOOK
        with post.database.write() as connection:
            endpoints.register(connection, "default", healthy.url)
        post.end_job()
        postman.tick(NOW)
        until(lambda: healthy.told, "the other one is told", seconds=5)
        assert len(post.receiver.told) == PER_WEBHOOK
        post.receiver.open.set()
        until(lambda: not postman.is_busy, "all tries end")


def test_two_schedulers_do_not_tell_the_same_twice(post: Post) -> None:
    for _ in range(12):
        post.end_job()
    one, two = post.postman(), post.postman()
    while any(each.state == DeliveryState.PENDING for each in post.notices()):
        one.tick(NOW)
        two.tick(NOW)
    until(lambda: not (one.is_busy or two.is_busy), "all is recorded")
    assert len(post.receiver.ids) == len(set(post.receiver.ids)) == 12


def test_many_claim_one_notice_at_once(post: Post) -> None:
    post.end_job()
    taken: list[deliveries.Try] = []
    claim = partial(
        deliveries.claim, webhook_id=post.webhook_id, limit=5, seconds=CLAIM_SECONDS, now=NOW
    )
    with ThreadPoolExecutor(8) as threads:
        for each in [threads.submit(post.database.transact, claim) for _ in range(40)]:
            taken += each.result()
    assert len(taken) == 1


def test_who_was_frozen_records_nothing_over_another_ones_try(post: Post) -> None:
    post.end_job()
    with post.database.write() as connection:
        [frozen] = deliveries.claim(connection, post.webhook_id, 1, CLAIM_SECONDS, now=NOW)
        assert deliveries.claim(connection, post.webhook_id, 1, CLAIM_SECONDS, now=NOW) == []
    later = NOW + CLAIM_SECONDS + 1
    with post.database.write() as connection:
        [fresh] = deliveries.claim(connection, post.webhook_id, 1, CLAIM_SECONDS, now=later)
    with post.database.write() as connection:
        assert not deliveries.failed(connection, frozen, "timeout", now=later)
        assert not deliveries.delivered(connection, frozen, 200, now=later)
        assert deliveries.delivered(connection, fresh, 200, now=later)
        assert not deliveries.failed(connection, fresh, "timeout", now=later)
    assert fresh.id == frozen.id
    assert post.webhook().failures == 0


def test_a_removed_webhook_is_told_nothing_that_still_waits(post: Post) -> None:
    post.end_job()
    with post.database.write() as connection:
        endpoints.remove(connection, post.webhook_id, now=NOW)
    post.end_job()
    post.round(post.postman())
    assert post.receiver.told == []
    assert [each.state for each in post.notices()] == [DeliveryState.GIVEN_UP]


SERVE = (
    "import sys, threading; from millrace.settings import Settings;"
    "from scheduler.service import serve;"
    "serve(Settings(database_url=sys.argv[1], leader_seconds=1.5, webhook_http=True,"
    " webhook_ports=(int(sys.argv[2]),), webhook_networks=('127.0.0.0/8',)), threading.Event())"
)


def test_a_scheduler_that_dies_before_it_records_has_another_one_tell_the_same_again(
    post: Post, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_FAILPOINTS", "r.delivered=kill")
    post.end_job(now=None)
    dies = subprocess.Popen(
        [sys.executable, "-P", "-c", SERVE, database_url, str(post.receiver.port)],
        cwd=Path(__file__).parents[2],
    )
    try:
        assert dies.wait(60) == -9
    finally:
        dies.kill()
    [notice] = post.notices()
    assert (notice.state, notice.tries, len(post.receiver.told)) == ("pending", 1, 1)
    post.round(post.postman(), now=time.time() + CLAIM_SECONDS - 30)
    assert len(post.receiver.told) == 1, "its claim still holds"
    post.round(post.postman(), now=time.time() + CLAIM_SECONDS + 1)
    assert post.receiver.ids == [notice.id] * 2
    first, second = post.receiver.told
    assert json.loads(first.body) == json.loads(second.body)
    assert post.notices()[0].state == DeliveryState.DELIVERED
