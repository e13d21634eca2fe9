"""What mutmut leaves out: tables, constants, defaults of classes, and functions with a decorator.

mutmut changes functions alone, and most that a vendor's word means stands in a table. Each mutant is written into a
copy of the sources, and the module's tests are run over it in a process of their own. What survives is added to
mutmut's results in the tree `mutants/`, where report.py finds it.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shutil
import sys
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from run import forked  # type: ignore[import-not-found]  # it stands beside this script, in no package

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
COPY = ROOT / "mutants" / "constants"
RESULTS = ROOT / "mutants" / "constants.json"
TESTS = {
    "plan": ["tests/plan"],
    "engine": ["tests/engine/decide/test_gate.py", "tests/engine/decide/test_outcomes.py"],
    "secret.py": ["tests/test_secret.py", "tests/test_secret_rules.py"],
    "vendors": ["tests/vendors"],
}
"""The tests of each folder below qarunner/; a vendor's are those with its name, and the golden ones."""
_HANGS_S = 120
"""CPU seconds that no module's tests need."""
_IMPORTED_EARLY = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
"""Plugins of pytest are there before it begins; their asserts say less than they could."""
_SWAPS: dict[type, type] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}


def main() -> int:
    shutil.rmtree(COPY, ignore_errors=True)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    for name in ("qarunner", "tests", "pyproject.toml", *settings["also_copy"]):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, _made(COPY / name))
    os.chdir(COPY)
    sys.dont_write_bytecode = True
    _import_what_stays()
    survivors = []
    number = 0
    for path in sorted({path for pattern in settings["only_mutate"] for path in ROOT.glob(pattern)}):
        module = path.relative_to(ROOT / "qarunner")
        dotted = module.as_posix().removesuffix(".py").replace("/", ".")
        source = path.read_text(encoding="utf-8")
        if _killed(module, source):
            sys.exit(f"the tests of {path} fail without any change")
        for name, was, now, text in _mutants(source):
            number += 1
            if not _killed(module, text):
                survivors.append({"function": f"{dotted}:{name}", "was": was, "now": now})
                sys.stdout.write(f"{dotted}:{name}\n  - {was}\n  + {now}\n")
        sys.stdout.write(f"{number} until the end of {path.relative_to(ROOT)}\n")
        sys.stdout.flush()
    RESULTS.write_text(json.dumps({"number": number, "survivors": survivors}, indent=1), encoding="utf-8")
    return 0


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _import_what_stays() -> None:
    """All that is installed and that the tests import, once instead of in each process: nothing of our own."""
    for name in forked(_imported):
        with suppress(Exception):
            importlib.import_module(name)


def _imported() -> list[str]:
    pytest.main(["--collect-only", "-q", *(word for words in TESTS.values() for word in words)])
    files = {name: Path(getattr(module, "__file__", None) or COPY) for name, module in sys.modules.items()}
    return [name for name, file in files.items() if not file.is_relative_to(ROOT) or file.is_relative_to(sys.prefix)]


def _killed(module: Path, text: str) -> bool:
    """True if a test fails with this text in the module's place."""
    path = COPY / "qarunner" / module
    before = path.read_bytes()
    path.write_text(text, encoding="utf-8")
    tests = TESTS[module.parts[0]]
    if module.parts[0] == "vendors":
        folder = ROOT / "tests" / "vendors"
        tests = ["tests/vendors/test_golden.py"]
        tests += [path.relative_to(ROOT).as_posix() for path in sorted(folder.glob(f"test_{module.parts[1]}*.py"))]
    words = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-k", "not linear_time", *_IMPORTED_EARLY, *tests]
    try:
        return bool(forked(lambda: int(pytest.main(words)), limit_s=_HANGS_S) != 0)
    finally:
        path.write_bytes(before)


# --- mutants ----------------------------------------------------------------------------------------------------------


def _mutants(source: str) -> Iterator[tuple[str, str, str, str]]:
    """Name of what is changed, what differs before and after, and the whole module with the change."""
    tree = ast.parse(source)
    for name, statement in _places(tree):
        was = ast.unparse(statement)
        kept = _kept(statement)
        for node in [each for each in ast.walk(statement) if id(each) not in kept]:
            for changes in _changes(node):
                before = {field: getattr(node, field) for field in changes}
                _set(node, changes)
                now = ast.unparse(statement)
                if now != was:
                    yield name, *_difference(was, now), ast.unparse(tree)
                _set(node, before)


def _set(node: ast.AST, fields: dict[str, object]) -> None:
    for field, value in fields.items():
        setattr(node, field, value)


def _difference(was: str, now: str) -> tuple[str, str]:
    """What differs, in whole words; so a long table is not shown as a whole."""
    first, second = re.findall(r"\w+|\W", was), re.findall(r"\w+|\W", now)
    shorter = min(len(first), len(second))
    begin = next((index for index in range(shorter) if first[index] != second[index]), shorter)
    rest = range(1, shorter - begin + 1)
    end = next((index - 1 for index in rest if first[-index] != second[-index]), shorter - begin)
    return "".join(first[begin : len(first) - end]), "".join(second[begin : len(second) - end])


def _places(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """The statements of a module and of its classes that mutmut leaves as they are."""
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            yield from ((f"{statement.name}.{name}", each) for inner in statement.body for name, each in _place(inner))
        else:
            yield from _place(statement)


def _place(statement: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            if "TypeAlias" not in (text := ast.unparse(statement)) and "TypeVar" not in text:
                yield name, statement
        case ast.FunctionDef(decorator_list=[_, *_]):
            yield statement.name, statement
        case _:
            pass


def _kept(statement: ast.stmt) -> set[int]:
    """Texts that stay: docstrings and annotations, and those that another mutant leaves out as a whole."""
    kept: list[ast.AST] = []
    for node in ast.walk(statement):
        match node:
            case ast.Expr(value=ast.Constant()):
                kept.append(node.value)
            case ast.AnnAssign(annotation=annotation):
                kept += ast.walk(annotation)
            case ast.Dict(keys=keys):
                kept += [key for key in keys if key is not None]
            case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
                kept += [each for each in elements if isinstance(each, ast.Constant)]
            case ast.FunctionDef(returns=ast.expr() as annotation):
                kept += ast.walk(annotation)
            case _:
                pass
    return {id(node) for node in kept}


def _changes(node: ast.AST) -> Iterator[dict[str, object]]:
    """New values for some of a node's fields, one mutant each."""
    match node:
        case ast.Constant(value=bool() as value):
            yield {"value": not value}
        case ast.Constant(value=int() | float() as value):
            yield {"value": value + 1}
        case ast.Constant(value=str() as value):
            yield {"value": f"XX{value}XX"}
        case ast.Compare(ops=[operator]) if type(operator) in _SWAPS:
            yield {"ops": [_SWAPS[type(operator)]()]}
        case ast.BoolOp(op=operator) | ast.BinOp(op=operator) if type(operator) in _SWAPS:
            yield {"op": _SWAPS[type(operator)]()}
        case ast.IfExp(body=body, orelse=orelse):
            yield {"body": orelse}
            yield {"orelse": body}
        case _:
            yield from _fewer(node)


def _fewer(node: ast.AST) -> Iterator[dict[str, object]]:
    """One element less, or two of them in the other's place: the order of texts is nowhere of importance."""
    match node:
        case ast.Dict(keys=keys, values=values):
            for index in range(len(keys)):
                yield {"keys": _without(keys, index), "values": _without(values, index)}
                yield {"values": _swapped(values, index)}
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            for index in range(len(elements)):
                yield {"elts": _without(elements, index)}
                if not isinstance(node, ast.Set) and not isinstance(elements[index], ast.Constant):
                    yield {"elts": _swapped(elements, index)}
        case _:
            pass


def _without(values: list[T], index: int) -> list[T]:
    return values[:index] + values[index + 1 :]


def _swapped(values: list[T], index: int) -> list[T]:
    """With the next value in its place and the other way round; unchanged at the end."""
    if index + 1 >= len(values):
        return values
    return [*values[:index], values[index + 1], values[index], *values[index + 2 :]]


if __name__ == "__main__":
    sys.exit(main())
