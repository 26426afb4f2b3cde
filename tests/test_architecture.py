"""The rules of the house that a machine can check; ARCHITECTURE.md tells their reasons."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millrace import catalog

ROOT = Path(__file__).parents[1]
PACKAGES = ("millrace", "scheduler", "workers", "api")
PYTHON = [*PACKAGES, "benchmarks", "examples"]

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50

VAGUE = {"manager", "helper", "util", "utility", "common", "handler", "data", "info"}
UNSAFE_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {"yaml.load", "torch.load", "joblib.load", "pandas.read_pickle"}
WRITES = {"insert", "update", "delete"}
SQL_WRITE = re.compile(r"\b(INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM)\b", re.IGNORECASE)
ONLY_WORKERS = ("torch", "transformers", "sentence_transformers", "onnxruntime", "multiprocess")
HOMES = re.compile(r"/(home|Users)/(?!me/|you/)\w+/|/root/")


def sources(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def offences(files: list[Path], check: Callable[[ast.Module], Iterator[str]]) -> list[str]:
    """What `check` finds in each file, with its place."""
    return [
        f"{file.relative_to(ROOT)}: {fault}"
        for file in files
        for fault in check(ast.parse(file.read_text(encoding="utf-8")))
    ]


def refuse(found: list[str]) -> None:
    """Fail with one finding a line."""
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def dotted(node: ast.AST) -> str:
    """``a.b.c`` for such an expression, else an empty string."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Pairs (module, name imported from it, or an empty string)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    return ((dotted(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def words(name: str) -> set[str]:
    """The words of a name in snake or camel case, in lower case and without a plural's s."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return {part.lower() for part in parts} | {part.lower().removesuffix("s") for part in parts}


def long_functions(tree: ast.Module) -> Iterator[str]:
    """Functions with a long body; a signature may be long, as where it declares a command."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.body[0].lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{node.name} has {lines} lines"


def vague_classes(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and words(node.name) & VAGUE:
            yield f"class {node.name}"


def status_writes(tree: ast.Module) -> Iterator[str]:
    """Statements that write to the database, and rows whose state is set."""
    for module, name in imports(tree):
        if module.split(".")[0] in {"sqlalchemy", "sqlmodel"} and name in WRITES:
            yield f"imports {name} from {module}"
    for name, call in calls(tree):
        if name.startswith(("sqlalchemy.", "sqlmodel.", "sa.")) and name.split(".")[-1] in WRITES:
            yield f"calls {name}"
        if name.endswith(".values") and any(word.arg == "state" for word in call.keywords):
            yield "sets state in values()"
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (f"holds SQL: {match[0]}" for match in SQL_WRITE.finditer(node.value))
        if isinstance(node, ast.Assign):
            names = [dotted(target) for target in node.targets]
            yield from (
                f"assigns {name}" for name in names if re.fullmatch(r"(job|chunk)\.state", name)
            )


def foreign_tables(tree: ast.Module) -> Iterator[str]:
    """Uses of tables whose rows have a status."""
    for module, name in imports(tree):
        if module.startswith("millrace.lifecycle") or module == "millrace.db.tables":
            yield f"imports {module}"
        if (module, name) == ("millrace.db", "tables"):
            yield "imports millrace.db.tables"


def unsafe_loading(tree: ast.Module) -> Iterator[str]:
    for module, _ in imports(tree):
        if module.split(".")[0] in UNSAFE_MODULES:
            yield f"imports {module}"
    for name, call in calls(tree):
        if name in UNSAFE_CALLS:
            yield f"calls {name}"
        if any(word.arg == "allow_pickle" for word in call.keywords):
            yield f"calls {name} with allow_pickle"


def sleeps(tree: ast.Module) -> Iterator[str]:
    if ("time", "sleep") in imports(tree) or any(name == "time.sleep" for name, _ in calls(tree)):
        yield "sleeps; wait for a condition instead"


def implementations(folder: str, *members: str) -> set[str]:
    """``module:Class`` of each class under `folder` whose body defines all of `members`."""
    found = set()
    for file in sources(folder):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and is_complete(node, set(members)):
                found.add(f"{module_name(file)}:{node.name}")
    return found


def is_complete(node: ast.ClassDef, members: set[str]) -> bool:
    """Whether a class is public, no Protocol, and has all of `members` in its own body."""
    protocol = any("Protocol" in dotted(base) for base in node.bases)
    return members <= defined(node) and not protocol and not node.name.startswith("_")


def defined(node: ast.ClassDef) -> set[str]:
    """Names of the methods and of the class variables with a value."""
    names = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and each.value is not None:
            names.add(dotted(each.target))
        elif isinstance(each, ast.Assign):
            names.update(dotted(target) for target in each.targets)
    return names


@pytest.mark.parametrize(
    ("check", "guilty", "innocent"),
    [
        (long_functions, "def f():\n" + "    pass\n" * 51, "def f():\n    pass"),
        (vague_classes, "class RowHandlers: ...", "class Informer: ..."),
        (status_writes, "from sqlmodel import update", "from sqlmodel import select"),
        (status_writes, "x = 'update job set a=1'", "x = 'update the job'"),
        (status_writes, "sa.insert(job)", "rows.insert(0, job)"),
        (status_writes, "q.values(state='x')", "View(state='x')"),
        (status_writes, "job.state = 'x'", "print(job.state)"),
        (foreign_tables, "from millrace.db import tables", "from millrace.db import access_tables"),
        (foreign_tables, "from millrace.lifecycle import jobs", "from millrace.access import keys"),
        (unsafe_loading, "import pickle", "import json"),
        (unsafe_loading, "torch.load(x)", "torch.export.load(x)"),
        (unsafe_loading, "np.load(x, allow_pickle=True)", "np.load(x)"),
        (sleeps, "from time import sleep", "from time import monotonic"),
        (sleeps, "import time\ntime.sleep(1)", "import time\ntime.time()"),
    ],
)
def test_each_check_tells_guilty_from_innocent(
    check: Callable[[ast.Module], Iterator[str]], guilty: str, innocent: str
) -> None:
    assert list(check(ast.parse(guilty)))
    assert not list(check(ast.parse(innocent)))


def test_imports_go_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_files_are_short() -> None:
    lengths = {file: len(file.read_text().splitlines()) for file in sources(*PYTHON)}
    refuse([f"{file}: {n} lines" for file, n in lengths.items() if n > MAX_FILE_LINES])


def test_functions_are_short() -> None:
    refuse(offences(sources(*PYTHON, "tests"), long_functions))


def test_names_say_something() -> None:
    files = sources(*PYTHON, "tests")
    refuse([str(file) for file in files if words(file.stem) & VAGUE])
    refuse(offences(files, vague_classes))


def test_only_the_lifecycle_writes_a_status() -> None:
    writers = {ROOT / "millrace/lifecycle", ROOT / "millrace/access", ROOT / "millrace/filing"}
    files = [file for file in sources(*PACKAGES) if not writers.intersection(file.parents)]
    refuse(offences(files, status_writes))


def test_who_writes_keys_tenants_and_files_reaches_no_status() -> None:
    refuse(offences(sources("millrace/access", "millrace/filing"), foreign_tables))


def test_nothing_is_loaded_that_can_run_code() -> None:
    refuse(offences(sources(*PYTHON), unsafe_loading))


def test_tests_wait_for_conditions() -> None:
    refuse(offences(sources("tests"), sleeps))


def test_every_package_tells_its_story() -> None:
    packages = [file for file in sources(*PACKAGES) if file.name == "__init__.py"]
    assert packages
    refuse([str(file) for file in packages if not ast.get_docstring(ast.parse(file.read_text()))])


def test_the_catalogue_lists_what_there_is() -> None:
    engines = {entry.path for entry in catalog.ENGINES.values()}
    formats = {entry.path for entry in catalog.FORMATS.values()}
    assert implementations("workers/engines", "traits") <= engines
    assert implementations("millrace/datasets", "inspect", "read") <= formats


CATALOGUED = [entry.path for entry in catalog.ENGINES.values()]
CATALOGUED += [entry.path for entry in catalog.FORMATS.values()]


@pytest.mark.parametrize("path", CATALOGUED)
def test_the_catalogue_names_classes_that_exist(path: str) -> None:
    assert isinstance(catalog.load(path), type)


def test_only_workers_load_torch_and_its_like() -> None:
    local = ROOT / "millrace/cli/local.py"
    files = [file for file in sources("millrace", "scheduler", "api") if file != local]
    names = [module_name(file) for file in files if file.name != "__main__.py"]
    program = f"import sys, {', '.join(names)}; print(*set({ONLY_WORKERS}) & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_no_path_of_one_machine_is_in_the_tree() -> None:
    kinds = {".py", ".md", ".toml", ".txt", ".ini", ".yml", ".yaml", ".json", ".sh", ""}
    folders = [*PYTHON, "tests", "scripts", "docs", "alembic", ".ci"]
    files = [file for folder in folders for file in (ROOT / folder).rglob("*")]
    files += ROOT.glob("*.*")
    texts = {
        file: file.read_text(encoding="utf-8")
        for file in files
        if file.is_file() and file.suffix in kinds and file != Path(__file__)
    }
    assert texts
    refuse(
        [
            f"{file}: {line}"
            for file, text in texts.items()
            for line in text.splitlines()
            if HOMES.search(line) or f"{ROOT}/" in line
        ]
    )
