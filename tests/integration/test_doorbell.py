"""Bells over real brokers: who hears them, and what becomes of everything else that is sent."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from millrace import lifeline, topics
from millrace.broker import Doorbell, celery_app
from millrace.clock import Clock
from millrace.errors import Unavailable
from millrace.settings import Settings
from millrace.types import WorkerId
from tests.clocks import FakeClock
from tests.servers.broker import Broker, Rabbit, Valkey
from tests.waiting import until
from workers.ear import Ear
from workers.watchdog import Watchdog

FORGED: list[tuple[object, ...]] = [
    (0, "no such job"),
    (None, None),
    (),
    ("one",),
    ({"$oid": "x"}, 0),
    ("job", True),
    ("job", -1),
    ("job", 2**70),
    ("job", 1.5),
    ("x" * 1_000_000, "y"),
]


@pytest.fixture(params=["valkey", "rabbit"])
def broker(request: pytest.FixtureRequest) -> Broker:
    server: Broker = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def doorbell(broker: Broker) -> Iterator[Doorbell]:
    bell = Doorbell(broker.url)
    yield bell
    bell.close()


@pytest.fixture
def me() -> WorkerId:
    """A name of its own for each test, as workers have."""
    return WorkerId(uuid.uuid4().hex[:16])


class Heard:
    """What a listener says: bells and warnings."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "bells"
        self.log = folder / "log"

    @property
    def bells(self) -> int:
        return self.output.stat().st_size

    def comes(self, count: int) -> None:
        until(lambda: self.bells >= count, f"bell number {count} is heard", 30, every=0.01)

    def loggers(self) -> list[str]:
        """Who has logged anything."""
        return [json.loads(line)["logger"] for line in self.log.read_text().splitlines()]


@contextmanager
def listening(url: str, worker: WorkerId, pool: str = "default") -> Iterator[Heard]:
    with tempfile.TemporaryDirectory(prefix="millrace-") as folder:
        heard = Heard(Path(folder))
        with heard.output.open("wb") as output, heard.log.open("wb") as log:
            listener = subprocess.Popen(
                [sys.executable, "-m", "tests.listener", url, worker, pool],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=log,
                preexec_fn=lifeline.die_with_caller,
            )
        try:
            yield heard
        finally:
            listener.communicate(timeout=30)


def test_a_bell_is_heard_by_one_of_its_pool(
    broker: Broker, doorbell: Doorbell, me: WorkerId
) -> None:
    with (
        listening(broker.url, me, pool=f"a-{me}") as first,
        listening(broker.url, WorkerId(f"{me}-2"), pool=f"b-{me}") as second,
    ):
        doorbell.ring([("job", 1), ("job", 2)], pool=f"a-{me}")
        first.comes(2)
        doorbell.ring([("job", 3)], pool=f"b-{me}")
        second.comes(1)
        assert (first.bells, second.bells) == (2, 1)


def test_a_direct_bell_is_heard_by_that_worker(
    broker: Broker, doorbell: Doorbell, me: WorkerId
) -> None:
    with listening(broker.url, me) as mine, listening(broker.url, WorkerId(f"{me}-2")) as others:
        doorbell.ring([("job", 1)], worker=me)
        mine.comes(1)
        doorbell.ring([("job", 1)], worker=WorkerId(f"{me}-2"))
        others.comes(1)
        assert (mine.bells, others.bells) == (1, 1)


def test_forged_messages_are_dropped_and_hardly_logged(
    broker: Broker, doorbell: Doorbell, me: WorkerId
) -> None:
    """F28: no bell, no error, no log that fills up, and the next true bell is heard."""
    with listening(broker.url, me) as heard:
        doorbell.ring([("job", 0)], worker=me)
        heard.comes(1)
        _forge(broker.url, me)
        doorbell.ring([("job", 0)], worker=me)
        heard.comes(2)
        assert heard.bells == 2
        assert heard.loggers() == ["workers.ear"], heard.log.read_text()


def _forge(url: str, me: WorkerId) -> None:
    app: Any = celery_app(url)
    place = {"exchange": "", "routing_key": topics.direct(me)}
    with app.producer_pool.acquire() as producer:
        for arguments in FORGED:
            app.send_task(topics.RING, arguments, producer=producer, declare=(), **place)
        app.send_task("os.system", ("true", 0), producer=producer, declare=(), **place)
        producer.publish({"no": "task"}, **place)
        producer.publish("text", headers={"task": topics.RING, "id": "x"}, **place)
        producer.publish(
            b"\xff{", content_type="application/json", content_encoding="utf-8", **place
        )
        pickled = {"content_type": "application/x-python-serialize", "content_encoding": "binary"}
        producer.publish(b"cos\nsystem\n(S'true'\ntR.", **pickled, **place)
    app.close()


def test_what_is_no_message_at_all_does_not_make_deaf(valkey: Valkey, me: WorkerId) -> None:
    bell = Doorbell(valkey.url)
    with listening(valkey.url, me) as heard:
        bell.ring([("job", 0)], worker=me)
        heard.comes(1)
        for garbage in ("garbage", "[]", '{"body": 1}', "\x00"):
            valkey.command("LPUSH", topics.direct(me), garbage)
        bell.ring([("job", 0)], worker=me)
        heard.comes(2)
    bell.close()


def test_a_broker_that_starts_anew_is_heard_again(valkey: Valkey, me: WorkerId) -> None:
    """F19"""
    bell = Doorbell(valkey.url)
    with listening(valkey.url, me) as heard:
        bell.ring([("job", 0)])
        heard.comes(1)
        valkey.kill()
        with pytest.raises(Unavailable):
            bell.ring([("job", 0)])
        valkey.start()
        bell.ring([("job", 0)])
        heard.comes(2)
    bell.close()


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_black_hole_is_an_error_before_long(scheme: str) -> None:
    """F25: it takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        bell = Doorbell(f"{scheme}://127.0.0.1:{hole.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            bell.ring([("job", 0)])
        assert time.monotonic() - began < 10
    assert caught.value.code == "BROKER_UNAVAILABLE"


def test_a_full_broker_is_an_error_and_no_end(valkey: Valkey, me: WorkerId) -> None:
    """F26"""
    bell = Doorbell(valkey.url)
    valkey.command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(Unavailable):
        bell.ring([("job", 0)])
    valkey.command("CONFIG", "SET", "maxmemory", "0")
    bell.ring([("job", 0)])
    bell.close()


def test_a_queue_that_nobody_empties_stays_bounded(
    broker: Broker, doorbell: Doorbell, me: WorkerId
) -> None:
    for _ in range(3):
        doorbell.ring([("job", 0)] * 1_000, pool="empty")
    with listening(broker.url, me, pool="empty") as heard:
        heard.comes(1_000)
        assert heard.bells == 1_000


def test_a_queue_of_a_dead_worker_vanishes(valkey: Valkey, me: WorkerId) -> None:
    bell = Doorbell(valkey.url)
    bell.ring([("job", 0)], worker=me)
    assert 0 < int(valkey.command("PTTL", topics.direct(me)).removeprefix(":")) <= 600_000
    bell.close()


def watched(server: Valkey, worker: WorkerId, clock: Clock) -> tuple[Watchdog, Ear]:
    ear = Ear(Settings(broker_url=server.url), worker, lambda: None, clock)
    return Watchdog(Doorbell(server.url), worker, ear, clock), ear


def test_a_worker_that_is_deaf_to_a_working_broker_is_found_out(
    valkey: Valkey, me: WorkerId
) -> None:
    clock = FakeClock()
    watchdog, _ = watched(valkey, me, clock)
    for _ in range(5):
        clock.advance(60.0)
        assert not watchdog.is_deaf()
    clock.advance(60.0)
    assert watchdog.is_deaf()


def test_a_broker_that_is_away_makes_nobody_deaf(valkey: Valkey, me: WorkerId) -> None:
    clock = FakeClock()
    watchdog, _ = watched(valkey, me, clock)
    for minute in range(20):
        if minute == 3:
            valkey.kill()
        assert not watchdog.is_deaf()
        clock.advance(61.0)


def test_a_worker_that_hears_itself_is_not_deaf(valkey: Valkey, me: WorkerId) -> None:
    clock = FakeClock()
    watchdog, ear = watched(valkey, me, clock)
    ear.start()
    for _ in range(10):
        clock.advance(61.0)
        assert not watchdog.is_deaf()
        until(lambda: ear.silent_seconds == 0.0, "it hears its own bell")
    ear.close()


def test_without_a_broker_nobody_is_rung() -> None:
    Doorbell("").ring([("job", 0)])


def test_rabbit_confirms_what_it_takes(rabbit: Rabbit) -> None:
    """A bell that the broker has not taken is an error, not silence."""
    bell = Doorbell(rabbit.url)
    bell.ring([("job", 0)], pool="confirmed")
    assert bell._app is not None
    with bell._app.producer_pool.acquire() as producer:
        assert producer.channel.connection.confirm_publish
    bell.close()
