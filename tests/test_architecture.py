"""Who may import whom, and which library has its home where: three tests over all files, and a few rules."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.vendors import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent / "qarunner"
MOST_MODULES = 12
"""Of one folder: a reader sees them at a glance."""

# A room may import rooms below it, never one beside it.
BELOW = {
    "ground": set(),
    "manifest": {"ground"},
    "vendors": {"ground"},
    "plan": {"ground", "manifest", "vendors"},
    "engine": {"ground", "vendors", "plan"},
    "review": {"ground", "manifest", "vendors", "plan"},
    "report": {"ground", "vendors", "plan", "engine", "review"},
    "history": {"ground", "vendors", "plan", "engine"},
    "app": {"ground", "manifest", "vendors", "plan", "engine", "report", "review", "history", "emulator"},
    "cli": {"ground", "manifest", "vendors", "plan", "engine", "report", "review", "history", "app"},
    "emulator": set(),
    "testing": {"ground", "manifest", "vendors", "plan", "engine"},
}
ENGINE = {
    "state": set(),
    "decide": {"state"},
    "schedule": {"state", "decide"},
    "io": {"state", "decide", "schedule"},
    "flow": {"state", "decide", "schedule", "io"},
}
GROUND = {"signals", "errors", "diagnostics", "decode", "secret", "entry", "text", "paths", "known", "regex"}
HOMES = {
    "requests": {"engine/io/transport.py", "engine/io/connection.py"},
    "urllib3": {"engine/io/transport.py", "engine/io/connection.py"},
    "typer": {"cli/"},
    "rich": {"cli/"},
    "dotenv": {"app/files.py"},
    "yaml": {"manifest/yaml/", "emulator/"},
    "jsonschema": {"manifest/schema/", "plan/capabilities.py"},
    "jinja2": {"manifest/templates/jinja.py"},
    "dataclasses": {
        "app/options.py",
        "app/saved_plan.py",
        "cli/",
    },  # a millisecond of each start for each class
    "msgspec": {
        "manifest/schema/",
        "plan/",
        "engine/",
        "app/saved_plan.py",
        "history/",
        "report/json.py",
        "report/plan.py",
        "emulator/",
    },
    "hypothesis": {"testing/"},  # where it is installed; the suite does without it
    "starlette": {"emulator/"},
    "uvicorn": {"emulator/"},
    "h11": {"emulator/"},
    "anyio": {"emulator/"},
    # What meets the world is met in few places.
    "threading": {"engine/io/workers.py", "engine/io/transport.py", "emulator/", "testing/"},
    "time": {"engine/io/workers.py", "cli/", "app/", "signals.py", "emulator/", "testing/"},
    "os": {"__main__.py", "engine/io/", "cli/", "app/", "paths.py", "signals.py", "emulator/", "testing/"},
    "signal": {"signals.py", "cli/", "emulator/", "testing/"},
    "subprocess": {"cli/", "app/git.py", "emulator/", "testing/"},
    "sqlite3": {"history/"},
}
GENERATED = ROOT / "manifest" / "schema" / "accepts.py"
"""Made of the schema, with a function in a line; it knows vendors from there."""
VALUES = ("msgspec.Struct", "msgspec.field", "msgspec.structs.")  # classes of values are made with them, everywhere


@cache
def modules() -> dict[str, Path]:
    """Every module by its dotted name."""
    named = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}
    return {name.removesuffix(".__init__"): path for name, path in named.items()}


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def imports(path: Path) -> frozenset[str]:
    """Every name that a file imports at any time, type checking included."""
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def module_of(dotted: str) -> str | None:
    """The module of ours that an imported name is in, or is."""
    if dotted in modules():
        return dotted
    parent = dotted.rpartition(".")[0]
    return parent if parent in modules() else None


@cache
def needed(module: str) -> frozenset[str]:
    """The modules that one imports, itself aside."""
    found = (module_of(dotted) for dotted in imports(modules()[module]) if dotted.split(".")[0] == "qarunner")
    return frozenset(each for each in found if each is not None and each != module)


def room(module: str) -> str:
    parts = module.split(".")
    if parts[1:] == ["__main__"]:
        return "cli"
    return "ground" if len(parts) == 1 or parts[1] in GROUND else parts[1]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_contributing_names_the_modules_of_the_ground() -> None:
    page = (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    row = re.search(r"^\| ground: ([^|]*) \|", page, re.MULTILINE)
    assert row is not None
    assert set(row[1].replace("`", "").split()) == GROUND


def test_there_is_no_circle() -> None:
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"a circle: {' → '.join((*trail[trail.index(module) :], module))}"
        if module not in done:
            for other in sorted(needed(module)):
                visit(other, (*trail, module))
            done.add(module)

    for module in modules():
        visit(module, ())


def test_imports_go_downwards_and_libraries_stay_at_home() -> None:
    wrong = [
        f"{name(path)} imports {stranger}" for module, path in modules().items() for stranger in strangers(module, path)
    ]
    assert not wrong, "\n".join(wrong)


def strangers(module: str, path: Path) -> Iterator[str]:
    own = room(module)
    for each in needed(module):
        other = each.split(".")
        if room(each) not in {own, *BELOW[own]}:
            yield each
        elif own == room(each) == "engine" and len(other) > 3 and path.parent.name != "engine":
            folder = path.parent.name
            if other[2] not in {folder, *ENGINE[folder]}:
                yield each
    others = [dotted for dotted in imports(path) if not dotted.startswith(VALUES)]
    for top in {dotted.split(".")[0] for dotted in others} - {"qarunner"}:
        if not at_home(path, HOMES.get(top, set() if top not in sys.stdlib_module_names else {""})):
            yield f"{top}, which lives in {sorted(HOMES.get(top, ()))}"


def at_home(path: Path, homes: set[str]) -> bool:
    """True if one of the homes is the file, a folder above it (`cli/`), or everywhere (the empty text)."""
    return any(name(path) == home or (home[-1:] in {"", "/"} and name(path).startswith(home)) for home in homes)


def test_no_folder_has_too_many_modules() -> None:
    folders = [path.parent for path in modules().values() if path.name != "__init__.py" and path.parent != ROOT]
    assert {name(folder) for folder in folders if folders.count(folder) > MOST_MODULES} == set()


# --- rules about single rooms -----------------------------------------------------------------------------------------


def test_what_is_known_of_a_vendor_stands_in_its_folder() -> None:
    words = {word for info in registry.infos_builtin() for word in (info.name, info.key_env, *info.url_env)}
    strings = re.compile("|".join(sorted(words, key=len, reverse=True)))
    for module, path in modules().items():
        own = path.parent.name if path.parent.parent.name in {"vendors", "emulator"} else ""
        for dotted in imports(path):
            for vendor in registry.names_builtin():
                assert vendor == own or f"vendors.{vendor}" not in dotted, f"{name(path)} imports {dotted}"
        if room(module) in {"emulator", "testing"} or own or path in {ROOT / "vendors" / "registry.py", GENERATED}:
            continue
        for node in nodes(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and not docstring(path, node):
                assert not strings.search(node.value), f"{name(path)}:{node.lineno} names a vendor"


@cache
def docstrings(path: Path) -> frozenset[int]:
    """The lines of texts that are no values."""
    return frozenset(
        node.value.lineno for node in nodes(path) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def docstring(path: Path, node: ast.Constant) -> bool:
    return node.lineno in docstrings(path)


def test_what_is_known_of_a_vendor_is_data() -> None:
    for path in (ROOT / "vendors").glob("*/info.py"):
        ours = {dotted for dotted in imports(path) if dotted.startswith("qarunner.")}
        allowed = ("qarunner.vendors.api.", "qarunner.entry.", "qarunner.decode.Json")
        assert all(dotted.startswith(allowed) for dotted in ours), f"{path.parent.name}: {sorted(ours)}"


def test_only_the_rehearsal_knows_the_emulator() -> None:
    for module, path in modules().items():
        if room(module) != "emulator" and name(path) != "app/apply/rehearsal.py":
            assert not any(room(each) == "emulator" for each in needed(module)), name(path)


def test_contributing_names_files_that_are_there() -> None:
    text = (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = {each for each in re.findall(r"`([a-z_/]+\.py)`", text) if "/" in each or (ROOT / each).exists()}
    assert len(named) > 20
    assert [each for each in named if not ((ROOT / each).exists() or (ROOT.parent / each).exists())] == []


def test_functions_stay_small() -> None:
    for path in modules().values():
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= 60 or path == GENERATED, f"{name(path)}:{node.lineno} {node.name} has {length} lines"
