"""Whatever happens to a published folder, `verify` notices, even where the manifest goes along."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millrace import storage
from millrace.clock import SystemClock
from millrace.db.session import Database
from millrace.errors import MillraceError
from millrace.manifest import MANIFEST
from millrace.settings import Settings
from millrace.types import WorkerId
from millrace.verification import verify
from scheduler.finisher import Finisher
from tests import jobs as stage
from workers.child import ComputeChild
from workers.chunk_runner import ChunkRunner
from workers.spawn import ComputeSettings


@pytest.fixture(scope="module")
def published(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a job over two files, with three bad rows and several parts."""
    folder = tmp_path_factory.mktemp("published")
    database = Database.connect(f"sqlite:///{shutil.copy(migrated_sqlite, folder / 'x.db')}")
    second = [*stage.texts(20, _12="::raise")]
    stage.written(folder, [*stage.texts(30, _4="::raise"), "{bad", *stage.texts(9)], second)
    job_id = stage.started(database, folder, chunk_rows=12)
    child = ComputeChild(ComputeSettings(device="cpu"))
    runner = ChunkRunner(database, child, WorkerId("w"), Settings(state=folder), SystemClock())
    try:
        while runner.run_due(job_id):
            pass
        Finisher(database, interval=1.0).tick(0.0)
        assert runner.run_due(job_id)
    finally:
        child.kill()
        database.close()
    return folder / "out"


class Forgery:
    """A copy of a published folder that can be changed, its manifest along with it or not."""

    def __init__(self, output: Path, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.folder = output
        self.draw = draw
        self.said: dict[str, Any] = json.loads((output / MANIFEST).read_bytes())

    def entry(self, *kinds: str) -> dict[str, Any]:
        kind = self.draw(st.sampled_from(kinds))
        entry: dict[str, Any] = self.draw(st.sampled_from(self.said[kind]))
        return entry

    def write(self, entry: dict[str, Any], content: bytes) -> None:
        """Put other content in a file, and have the manifest say that this was published."""
        (self.folder / entry["path"]).write_bytes(content)
        entry |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def say(self) -> None:
        (self.folder / MANIFEST).write_text(json.dumps(self.said))


def flip_a_bit(forgery: Forgery) -> None:
    path = forgery.folder / forgery.entry("parts", "errors")["path"]
    content = bytearray(path.read_bytes())
    content[forgery.draw(st.integers(0, len(content) - 1))] ^= 1 << forgery.draw(st.integers(0, 7))
    path.write_bytes(content)


def cut_or_add(forgery: Forgery) -> None:
    path = forgery.folder / forgery.entry("parts", "errors")["path"]
    content = path.read_bytes()
    kept = forgery.draw(st.integers(0, len(content) - 1))
    path.write_bytes(forgery.draw(st.sampled_from([content[:kept], content + b"\n"])))


def lose_a_file(forgery: Forgery) -> None:
    (forgery.folder / forgery.entry("parts", "errors")["path"]).unlink()


def change_rows(forgery: Forgery) -> None:
    """Drop, repeat, swap or rename rows of a part; its counts may go along."""
    several = [part for part in forgery.said["parts"] if part["rows"] > 1]
    entry: dict[str, Any] = forgery.draw(st.sampled_from(several))
    lines = (forgery.folder / entry["path"]).read_text().splitlines(keepends=True)
    at = forgery.draw(st.integers(0, len(lines) - 2))
    changed = forgery.draw(
        st.sampled_from(
            [
                lines[:at] + lines[at + 1 :],
                lines[: at + 1] + lines[at:],
                [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]],
                [*lines[:at], lines[at].replace('"id":', '"id":7'), *lines[at + 1 :]],
            ]
        )
    )
    forgery.write(entry, "".join(changed).encode())
    if forgery.draw(st.booleans()):
        more = len(changed) - len(lines)
        entry["rows"] += more
        forgery.said["rows"]["ok"] += more
        if forgery.draw(st.booleans()):
            entry["rows_in"] += more
            forgery.said["rows"]["input"] += more
            forgery.said["inputs"][0]["rows"] += more
    forgery.say()


def change_errors(forgery: Forgery) -> None:
    """Drop, repeat or move an error record; its counts may go along."""
    entry = forgery.entry("errors")
    lines = (forgery.folder / entry["path"]).read_text().splitlines(keepends=True)
    at = forgery.draw(st.integers(0, len(lines) - 1))
    record = json.loads(lines[at])
    moved = {**record, "row": record["row"] + forgery.draw(st.sampled_from([-1, 1, 1_000]))}
    changed = forgery.draw(
        st.sampled_from(
            [
                lines[:at] + lines[at + 1 :],
                lines[: at + 1] + lines[at:],
                [*lines[:at], json.dumps(moved) + "\n", *lines[at + 1 :]],
            ]
        )
    )
    forgery.write(entry, "".join(changed).encode())
    if forgery.draw(st.booleans()):
        more = len(changed) - len(lines)
        entry["rows"] += more
        forgery.said["rows"]["errors"] += more
        forgery.said["rows"]["input"] += more
        forgery.said["inputs"][0]["rows"] += more
    forgery.say()


def change_a_number(forgery: Forgery) -> None:
    """Any count of the manifest, alone."""
    said = forgery.said
    places = [(said["rows"], name) for name in said["rows"]]
    for entry in (*said["parts"], *said["errors"]):
        places += [(entry, name) for name, value in entry.items() if isinstance(value, int)]
    places += [(each, "rows") for each in said["inputs"]]
    where, name = forgery.draw(st.sampled_from(places))
    where[name] += forgery.draw(st.sampled_from([-1, 1, 100]))
    forgery.say()


def change_the_list(forgery: Forgery) -> None:
    """Drop, repeat or swap an entry of the list of parts."""
    parts = forgery.said["parts"]
    at = forgery.draw(st.integers(0, len(parts) - 2))
    forgery.said["parts"] = forgery.draw(
        st.sampled_from(
            [
                parts[:at] + parts[at + 1 :],
                parts[: at + 1] + parts[at:],
                [*parts[:at], parts[at + 1], parts[at], *parts[at + 2 :]],
            ]
        )
    )
    forgery.say()


def change_the_request(forgery: Forgery) -> None:
    name, value = forgery.draw(
        st.sampled_from([("input", "file:///x"), ("options", {"x": 1}), ("on_error", "fail")])
    )
    forgery.said["spec"][name] = value
    forgery.say()


def change_the_state(forgery: Forgery) -> None:
    forgery.said["state"] = "succeeded"
    forgery.say()


FORGERIES = [
    flip_a_bit,
    cut_or_add,
    lose_a_file,
    change_rows,
    change_errors,
    change_a_number,
    change_the_list,
    change_the_request,
    change_the_state,
]


def noticed(output: Path) -> bool:
    try:
        return bool(verify(storage.normalise(str(output))).faults)
    except MillraceError:
        return True


def test_what_was_published_is_in_order(published: Path) -> None:
    verdict = verify(storage.normalise(str(published)))
    assert verdict.faults == ()
    assert verdict.notes == ()
    assert (verdict.manifest.rows.ok, verdict.manifest.rows.errors) == (57, 3)


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda each: each.__name__)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(chosen=st.data())
def test_every_change_is_noticed(
    published: Path, forge: Callable[[Forgery], None], chosen: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(published, Path(folder, "out")))
        forge(Forgery(copy, chosen.draw))
        assert noticed(copy)


def test_an_input_that_changed_is_told_but_is_no_fault_of_the_results(published: Path) -> None:
    source = published.parent / "in" / "0.jsonl"
    content = source.read_bytes()
    source.write_bytes(content + b"{}\n")
    try:
        verdict = verify(storage.normalise(str(published)))
    finally:
        source.write_bytes(content)
    assert verdict.faults == ()
    assert "not compared" in verdict.notes[0]
