"""Writes the docstrings of Python's standard library as JSON lines: real text on every machine.

    python examples/docstrings.py docstrings.jsonl --at-least 6000

Modules are taken whole, public and shallow ones first, until there are enough docstrings. Nothing
is imported: the files are parsed.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idlelib", "idle_test", "lib2to3"}

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Docstring:
    id: str
    kind: str
    file: str
    line: int
    text: str


def module_name(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def module_files(root: Path) -> Iterator[Path]:
    """The importable modules under `root`, public ones before private ones, shallow before deep."""
    names = {
        module_name(file, root): file
        for file in root.rglob("*.py")
        if not SKIPPED.intersection(file.relative_to(root).parts)
    }
    for name in sorted(names, key=lambda name: ("._" in f".{name}", name.count("."), name)):
        if all(part.isidentifier() for part in name.split(".")):
            yield names[name]


def documented(node: ast.AST, name: str, kind: str) -> Iterator[tuple[str, str, Documented]]:
    """Name, kind and node of everything under `node` that can have a docstring."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield f"{name}.{child.name}", "class", child
            yield from documented(child, f"{name}.{child.name}", "method")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}.{child.name}", kind, child
        elif isinstance(child, ast.If | ast.Try):
            yield from documented(child, name, kind)


def docstrings(file: Path, root: Path) -> Iterator[Docstring]:
    """The docstrings of one file in the order of its lines; a name used again gets a number."""
    name = module_name(file, root)
    with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
        tree = ast.parse(file.read_bytes())
    seen: Counter[str] = Counter()
    for path, kind, node in [(name, "module", tree), *documented(tree, name, "function")]:
        seen[path] += 1
        text = ast.get_docstring(node, clean=False)
        if text and (text := inspect.cleandoc(text).strip()):
            unique = path if seen[path] == 1 else f"{path}#{seen[path]}"
            place = file.relative_to(root).as_posix()
            yield Docstring(unique, kind, place, getattr(node, "lineno", 1), text)


def collect(root: Path, at_least: int) -> list[Docstring]:
    """Docstrings of whole modules under `root`, until there are `at_least` of them."""
    found: list[Docstring] = []
    for file in module_files(root):
        if len(found) >= at_least:
            break
        found.extend(docstrings(file, root))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the standard library's docstrings.")
    parser.add_argument("output", type=Path)
    parser.add_argument("--at-least", type=int, default=1_000_000, metavar="N")
    arguments = parser.parse_args()
    found = collect(Path(sysconfig.get_path("stdlib")), arguments.at_least)
    unfinished = arguments.output.with_suffix(".unfinished")
    with unfinished.open("w", encoding="utf-8") as lines:
        for each in found:
            lines.write(json.dumps(asdict(each), ensure_ascii=False) + "\n")
    unfinished.replace(arguments.output)
    characters = sum(len(each.text) for each in found)
    print(f"{len(found):,} docstrings, {characters:,} characters: {arguments.output}")


if __name__ == "__main__":
    main()
