"""A real compute child, spoken to as its worker does: orders in, progress and parts out."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import multiprocess
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millrace import datasets, storage
from millrace.datasets import encode_schema
from millrace.registry.fingerprint import sha256_of
from millrace.spec import JobSpec, ModelRef
from millrace.types import Input
from workers.compute import serve
from workers.order import FROM_CHILD, MAX_MESSAGE_BYTES, Finished, Progress, Stopped, WorkOrder
from workers.spawn import ComputeSettings
from workers.window import MAX_ROWS


@dataclass
class Child:
    """The worker's side of a compute child."""

    settings: ComputeSettings = field(default_factory=lambda: ComputeSettings(device="cpu"))
    heard: list[Progress] = field(default_factory=list)

    def __post_init__(self) -> None:
        context = multiprocess.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, self.settings))
        self.process.start()
        theirs.close()

    def answer(self, order: WorkOrder) -> Finished | Stopped:
        """Send an order and listen to its end; `EOFError` where the child dies."""
        self.heard = []
        self.connection.send_bytes(order.model_dump_json().encode())
        while True:
            message = FROM_CHILD.validate_json(self.connection.recv_bytes(MAX_MESSAGE_BYTES))
            if not isinstance(message, Progress):
                return message
            self.heard.append(message)

    def finished(self, order: WorkOrder) -> Finished:
        answer = self.answer(order)
        assert isinstance(answer, Finished), answer
        return answer

    def stopped(self, order: WorkOrder) -> Stopped:
        answer = self.answer(order)
        assert isinstance(answer, Stopped), answer
        return answer

    def suspects_of_crash(self, order: WorkOrder) -> tuple[int, ...]:
        with pytest.raises(EOFError):
            self.answer(order)
        self.process.join(10)
        return self.heard[-1].in_flight

    def close(self) -> None:
        self.connection.close()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(10)


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    """One child for all tests that leave it alive: it serves any number of orders."""
    child = Child()
    yield child
    child.close()
    assert child.process.exitcode == 0


@pytest.fixture
def mortal() -> Iterator[Child]:
    child = Child()
    yield child
    child.close()


def _lines(rows: list[Any]) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def _order(folder: Path, files: dict[str, str], **changes: Any) -> WorkOrder:
    """An order over the whole of some new files, by default an echo of JSON lines."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs, base, schema = [], 0, None
    suspects = changes.pop("suspects", ())
    for index, (name, content) in enumerate(files.items()):
        (folder / name).write_text(content)
        uri = storage.normalise(str(folder / name))
        store = storage.for_uri(uri)
        pinned = store.info(uri)
        form = name.rpartition(".")[2]
        stream = store.open(pinned)
        layout = datasets.for_name(form).inspect(stream, name)
        stream.close()
        schema = schema or layout.schema
        source = Input(
            index, uri, form, pinned.size, pinned.version, base, layout.extent, layout.divisible
        )
        inputs.append(source)
        base += layout.extent
    assert schema is not None
    described: dict[str, Any] = {
        "model": ModelRef(engine="echo", location=""),
        "input": storage.normalise(str(folder)),
        "output": storage.normalise(str(folder / "out")),
        "output_format": "jsonl",
        "join": "none",
        "options": {"scripted": True},
    }
    return WorkOrder(
        job_id="job",
        idx=0,
        attempt=1,
        token="t" * 32,
        start=0,
        end=base,
        inputs=tuple(inputs),
        arrow_schema=encode_schema(schema),
        asked=JobSpec.model_validate(described | changes).model_dump_json(),
        suspects=suspects,
        part_stem="000-a1-tttttttt",
    )


def _results(order: WorkOrder, answer: Finished) -> list[dict[str, Any]]:
    assert answer.part is not None
    path = Path(order.spec.output.removeprefix("file://")) / answer.part.path
    content = path.read_bytes()
    assert sha256(content).hexdigest() == answer.part.sha256
    assert len(content) == answer.part.bytes
    rows = [json.loads(line) for line in content.splitlines()]
    assert len(rows) == answer.part.rows == answer.rows_ok
    return rows


def _errors(order: WorkOrder, answer: Finished) -> list[dict[str, Any]]:
    assert answer.error_part is not None
    path = Path(order.spec.output.removeprefix("file://")) / answer.error_part.path
    errors = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(errors) == answer.error_part.rows == answer.rows_err
    return errors


def _texts(count: int) -> list[Any]:
    return [{"id": f"r{place}", "text": f"text {place}"} for place in range(count)]


def test_rows_come_back_once_and_in_order(child: Child, tmp_path: Path) -> None:
    rows = _texts(10_000)
    order = _order(tmp_path, {"a.jsonl": _lines(rows)})
    answer = child.finished(order)
    assert _results(order, answer) == rows
    assert answer.error_part is None
    assert [each.rows for each in answer.readings] == [10_000]
    assert child.heard[-1] == Progress(rows=10_000)
    in_flight = [place for each in child.heard for place in each.in_flight]
    assert len(in_flight) == len(set(in_flight)) == 10_000


def test_bad_rows_are_records_with_their_places(child: Child, tmp_path: Path) -> None:
    first = [{"id": "a", "text": "fine"}, "{bad", {"id": "c", "text": "::raise"}]
    second = [{"id": "d", "text": "::quit"}, {"id": "e", "text": 5}, {"id": "f", "text": "fine"}]
    files = {"a.jsonl": _lines(first), "b.jsonl": _lines(second)}
    order = _order(tmp_path, files, join="key", key="id", input_columns=("text",))
    answer = child.finished(order)
    assert _results(order, answer) == [{"id": "a", "text": "fine"}, {"id": "f", "text": "fine"}]
    errors = _errors(order, answer)
    places = [(each["row"], each["input"], each["input_row"], each["code"]) for each in errors]
    assert places == [
        (1, 0, 1, "JSON_INVALID"),
        (2, 0, 2, "PREDICT_ERROR"),
        (3, 1, 0, "PREDICT_ERROR"),
        (4, 1, 1, "WRONG_TYPE"),
    ]
    assert errors[1]["key"] == "c"
    assert errors[1]["excerpt"] == "::raise"
    assert errors[1]["position"] == len(_lines(first[:2]))
    assert "SystemExit" in errors[2]["message"]
    assert [each.rows for each in answer.readings] == [3, 3]


def test_a_range_is_only_its_rows(child: Child, tmp_path: Path) -> None:
    rows = _texts(100)
    order = _order(tmp_path, {"a.jsonl": _lines(rows)})
    start, end = len(_lines(rows[:10])), len(_lines(rows[:30]))
    order = order.model_copy(update={"start": start, "end": end})
    assert _results(order, child.finished(order)) == rows[10:30]


@pytest.mark.parametrize("status", ["::exit 0", "::segv"])
def test_a_crash_has_its_exact_suspects(mortal: Child, tmp_path: Path, status: str) -> None:
    rows = [*_texts(2_000), {"id": "x", "text": status}, *_texts(500)]
    order = _order(tmp_path, {"a.jsonl": _lines(rows)})
    poison = len(_lines(rows[:2_000]))
    suspects = mortal.suspects_of_crash(order)
    assert poison in suspects
    assert len(suspects) <= 1_024
    again = Child()
    retry = order.model_copy(update={"suspects": suspects})
    assert again.suspects_of_crash(retry) == (poison,)
    again.close()


def test_nothing_is_left_of_an_attempt_that_stops(child: Child, tmp_path: Path) -> None:
    rows = [*_texts(5), {"id": "x", "text": "::raise"}]
    order = _order(tmp_path, {"a.jsonl": _lines(rows)}, on_error="fail")
    stopped = child.stopped(order)
    assert (stopped.reason, stopped.code) == ("permanent", "ROW_FAILED")
    assert "told to raise" in stopped.message
    assert "a.jsonl" in stopped.message
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_joined_rows_are_taken_over_word_for_word(child: Child, tmp_path: Path) -> None:
    lines = (
        '{"id":9007199254740993,"n":1,"text":"x","deep":{"b":[1,"2"],"a":null}}\n'
        '{"id":2,"n":1.5,"text":"y","deep":[]}\n'
    )
    order = _order(tmp_path, {"a.jsonl": lines}, join="input", input_columns=("text",))
    answer = child.finished(order)
    assert answer.part is not None
    path = Path(order.spec.output.removeprefix("file://")) / answer.part.path
    assert path.read_text() == lines


PREDICTOR = """
from millrace.predictor import Predictor
import numpy as np

class Shout(Predictor):
    max_cost = 200

    def cost(self, batch):
        return np.array([len(text) for text in batch["text"]])

    def predict(self, batch):
        print("this must not disturb anything")
        return {"text": [text.upper() for text in batch["text"]],
                "size": np.array([len(text) for text in batch["text"]])}
"""


def _shout(folder: Path) -> ModelRef:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "predictor.py"
    file.write_text(PREDICTOR)
    return ModelRef(engine="python", location=f"{file}:Shout", sha256=sha256_of(file))


def test_output_columns_are_chosen_and_joined(child: Child, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"model": _shout(tmp_path), "options": {}, "join": "key", "key": "id"}
    order = _order(
        tmp_path,
        {"a.jsonl": _lines(_texts(2))},
        output_columns=("size",),
        output_format="parquet",
        **changes,
    )
    answer = child.finished(order)
    assert answer.part is not None
    table = pq.read_table(Path(order.spec.output.removeprefix("file://")) / answer.part.path)
    assert table.to_pylist() == [{"id": "r0", "size": 6}, {"id": "r1", "size": 6}]
    assert table.schema.field("size").type == pa.int64()


SCRIPTED = """
import numpy as np
from millrace.predictor import Predictor

class Scripted(Predictor):
    max_rows = 4

    def predict(self, batch):
        return {"y": [eval(each) for each in batch["v"]]}

class Bare(Predictor):
    def predict(self, batch):
        return {"y": "".join(batch["v"])}
"""


def _scripted(folder: Path, values: list[str], kind: str = "Scripted", **changes: Any) -> WorkOrder:
    """An order that gives `values`, Python expressions, as results."""
    file = folder / "scripted.py"
    file.write_text(SCRIPTED)
    model = ModelRef(engine="python", location=f"{file}:{kind}", sha256=sha256_of(file))
    rows = _lines([{"v": value} for value in values])
    return _order(folder / "in", {"a.jsonl": rows}, model=model, options={}, **changes)


def _table(order: WorkOrder, answer: Finished) -> pa.Table:
    assert answer.part is not None
    return pq.read_table(Path(order.spec.output.removeprefix("file://")) / answer.part.path)


MIXED = [*["None"] * 5, *["1"] * 60, "0.5", *["2"] * 20]


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
def test_integers_and_floats_of_one_window_become_floats(
    mortal: Child, tmp_path: Path, output_format: str
) -> None:
    order = _scripted(tmp_path, MIXED, output_format=output_format)
    answer = mortal.finished(order)
    assert (answer.rows_ok, answer.rows_err) == (len(MIXED), 0)
    if output_format == "parquet":
        column = _table(order, answer).column("y")
        assert column.to_pylist() == [eval(each) for each in MIXED]
        assert column.type == pa.float64()
        assert answer.fingerprint["columns"] == {"y": "double"}
    else:
        assert "columns" not in answer.fingerprint


@pytest.mark.parametrize("output_format", ["jsonl", "csv"])
@pytest.mark.parametrize("late", ["0.5", "[1, 2]", "None"])
def test_types_may_change_between_windows_of_a_text_file(
    mortal: Child, tmp_path: Path, output_format: str, late: str
) -> None:
    early = "[0.5]" if late.startswith("[") else "1"
    values = [*[early] * MAX_ROWS, late]
    order = _scripted(tmp_path, values, output_format=output_format)
    answer = mortal.finished(order)
    assert (answer.rows_ok, answer.rows_err) == (len(values), 0)
    assert answer.part is not None
    path = Path(order.spec.output.removeprefix("file://")) / answer.part.path
    last = path.read_text().splitlines()[-1]
    text = "" if late == "None" else late.replace(" ", "")
    written = json.dumps({"y": eval(late)}, separators=(",", ":"))
    assert last in ((text, f'"{text}"') if output_format == "csv" else (written,))


@pytest.mark.parametrize(("early", "late"), [("1", "0.5"), ("None", "1"), ("0.5", str(2**53 + 1))])
def test_a_parquet_part_has_one_type_or_none(
    mortal: Child, tmp_path: Path, early: str, late: str
) -> None:
    order = _scripted(tmp_path, [*[early] * MAX_ROWS, late], output_format="parquet")
    stopped = mortal.stopped(order)
    assert (stopped.reason, stopped.code) == ("permanent", "COLUMN_TYPE")
    assert "np.array(x, dtype=float)" in stopped.hint
    assert [path for path in (tmp_path / "in" / "out").rglob("*") if path.is_file()] == []


def test_the_parts_of_a_job_have_the_types_of_its_first(mortal: Child, tmp_path: Path) -> None:
    def chunk(value: str, job_id: str) -> WorkOrder:
        order = _scripted(tmp_path, [value], output_format="parquet")
        stem = f"{job_id}-{value}"
        return order.model_copy(update={"job_id": job_id, "part_stem": stem})

    mortal.finished(chunk("None", "floats"))
    for value in ("0.5", "1"):
        answer = mortal.finished(chunk(value, "floats"))
    assert answer.fingerprint["columns"] == {"y": "double"}
    answer = mortal.finished(chunk("1", "integers"))
    assert answer.fingerprint["columns"] == {"y": "int64"}
    stopped = mortal.stopped(chunk("0.5", "integers"))
    assert (stopped.reason, stopped.code) == ("permanent", "COLUMN_TYPE")
    assert "'y' were int64 and are now double" in stopped.message


def test_text_among_numbers_is_the_rows_fault(mortal: Child, tmp_path: Path) -> None:
    order = _scripted(tmp_path, [*["1"] * 20, "'none'", *["2"] * 20])
    answer = mortal.finished(order)
    assert answer.rows_ok == 40
    (error,) = _errors(order, answer)
    assert (error["row"], error["code"]) == (20, "WRONG_RESULTS")
    assert "string for 'y', but int64 before" in error["message"]


@pytest.mark.parametrize("value", ["x", "abc"])
def test_one_text_is_no_column(mortal: Child, tmp_path: Path, value: str) -> None:
    order = _scripted(tmp_path, [value], "Bare")
    (error,) = _errors(order, mortal.finished(order))
    assert error["code"] == "WRONG_RESULTS"
    assert "a single str" in error["message"]


def test_user_code_does_not_see_our_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://user:password@host/db")
    monkeypatch.setenv("MINE", "yes")
    child = Child()
    order = _scripted(tmp_path, ["' '.join(__import__('os').environ)"])
    (names,) = (row["y"].split() for row in _results(order, child.finished(order)))
    child.close()
    assert "MINE" in names
    assert [name for name in names if name.startswith("MILLRACE")] == []


def test_negative_numbers_stay_as_they_are_from_csv_to_csv(child: Child, tmp_path: Path) -> None:
    lines = "id,n,t\n-5,-1.50,a\n+1.5e3,-0,b\n007,-.5,c\n"
    changes: dict[str, Any] = {"join": "input", "input_columns": ("t",), "output_format": "csv"}
    order = _order(tmp_path, {"a.csv": lines}, **changes)
    answer = child.finished(order)
    assert answer.part is not None
    path = Path(order.spec.output.removeprefix("file://")) / answer.part.path
    assert path.read_text().replace('"', "") == lines


def test_rows_of_any_length_come_back_in_input_order(child: Child, tmp_path: Path) -> None:
    rows = [{"text": "x" * (1 + place * 37 % 90)} for place in range(500)]
    order = _order(tmp_path, {"a.jsonl": _lines(rows)}, model=_shout(tmp_path), options={})
    answer = child.finished(order)
    assert [each["size"] for each in _results(order, answer)] == [len(r["text"]) for r in rows]
    longest = [place for place, row in enumerate(rows) if len(row["text"]) == 90]
    starts = [len(_lines(rows[:place])) for place in longest[:2]]
    loaded, first, *_ = child.heard
    assert loaded.in_flight == ()
    assert list(first.in_flight) == starts


def test_columns_that_cannot_be_are_explained(child: Child, tmp_path: Path) -> None:
    files = {"a.jsonl": _lines(_texts(2))}
    changes: dict[str, Any] = {"model": _shout(tmp_path), "options": {}}
    clash = child.stopped(_order(tmp_path / "1", files, join="input", **changes))
    assert (clash.reason, clash.code) == ("permanent", "COLUMN_CLASH")
    missing = child.stopped(_order(tmp_path / "2", files, output_columns=("nope",), **changes))
    assert (missing.reason, missing.code) == ("permanent", "OUTPUT_COLUMN_MISSING")
    assert "text, size" in missing.hint


def test_another_model_than_the_pinned_one_is_refused(child: Child, tmp_path: Path) -> None:
    order = _order(tmp_path, {"a.jsonl": _lines(_texts(2))}, model=_shout(tmp_path), options={})
    assert isinstance(child.answer(order), Finished)
    (tmp_path / "predictor.py").write_text(PREDICTOR + "\n")
    fresh = Child()
    stopped = fresh.stopped(order)
    fresh.close()
    assert (stopped.reason, stopped.code) == ("model", "MODEL_CHANGED")


def test_a_changed_input_ends_the_job(child: Child, tmp_path: Path) -> None:
    order = _order(tmp_path, {"a.jsonl": _lines(_texts(2))})
    (tmp_path / "a.jsonl").write_text("{}\n")
    stopped = child.stopped(order)
    assert (stopped.reason, stopped.code) == ("permanent", "INPUT_CHANGED")


def test_too_little_memory_costs_the_row_not_the_process(tmp_path: Path) -> None:
    child = Child(ComputeSettings(device="cpu", memory_bytes=2 << 30))
    order = _order(tmp_path, {"a.jsonl": _lines([*_texts(50), {"id": "x", "text": "::oom 3"}])})
    answer = child.finished(order)
    assert answer.rows_ok == 50
    assert _errors(order, answer)[0]["code"] == "OUT_OF_MEMORY"
    child.close()


def test_the_child_dies_with_its_worker(tmp_path: Path) -> None:
    def hold(sender: Any) -> None:
        child = Child()
        child.connection.send_bytes(order.model_dump_json().encode())
        child.connection.recv_bytes(MAX_MESSAGE_BYTES)
        sender.send(child.process.pid)
        signal.pause()

    order = _order(tmp_path, {"a.jsonl": _lines([{"text": "::hang"}])})
    context = multiprocess.get_context("fork")
    receiver, sender = context.Pipe()
    worker = context.Process(target=hold, args=(sender,))
    worker.start()
    sender.close()
    pid = receiver.recv()
    child = os.pidfd_open(pid)
    worker.kill()
    worker.join()
    assert select.select([child], [], [], 10)[0], "the child outlived its worker"
    os.close(child)
