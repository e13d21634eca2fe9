"""Who may import whom, and which third-party library has its home where."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent / "qarunner"

# A room may import rooms below it, never one beside it.
BELOW = {
    "ground": set(),
    "manifest": {"ground"},
    "vendors": {"ground"},
    "plan": {"ground", "manifest", "vendors"},
    "engine": {"ground", "vendors", "plan"},
    "report": {"ground", "vendors", "plan", "engine", "review"},
    "review": {"ground", "manifest", "vendors", "plan"},
    "history": {"ground", "vendors", "plan", "engine"},
    "app": {"ground", "manifest", "vendors", "plan", "engine", "report", "review", "history", "emulator", "cli"},
    "cli": {"ground", "manifest", "vendors", "plan", "engine", "report", "review", "history", "emulator", "app"},
    "emulator": set(),
    "testing": {"ground", "manifest", "vendors", "plan", "engine"},
}
GROUND = {"signals", "errors", "diagnostics", "decode", "secret", "entry", "text", "paths", "known"}
HOMES = {
    "requests": {"engine/io/transport.py", "engine/io/connection.py"},
    "urllib3": {"engine/io/transport.py", "engine/io/connection.py"},
    "typer": {"cli/"},
    "click": {"cli/"},
    "rich": {"cli/"},
    "dotenv": {"app/files.py"},
    "yaml": {"manifest/yaml/", "emulator/"},
    "jsonschema": {"manifest/schema/", "plan/capabilities.py"},
    "jsonschema_rs": {"manifest/schema/"},
    "jinja2": {"manifest/templates/"},
    "msgspec": {"plan/", "engine/", "app/saved_plan.py", "history/"},
    "hypothesis": {"testing/"},  # where it is installed; the suite does without it
    "starlette": {"emulator/"},
    "uvicorn": {"emulator/"},
    "h11": {"emulator/"},
    "anyio": {"emulator/"},
}
AMBIENT = {
    "threading": {"engine/io/workers.py", "engine/io/transport.py"},
    "time": {"engine/io/workers.py", "cli/", "app/", "signals.py"},
    "os": {"__main__.py", "engine/io/", "cli/", "app/", "paths.py", "signals.py"},
    "signal": {"signals.py", "cli/"},
    "subprocess": {"cli/", "app/"},
}


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> set[str]:
    """Every module that a file imports at any time, type checking included."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(dotted: str) -> str:
    parts = dotted.split(".")
    if parts[1:] == ["__main__"]:
        return "cli"
    if len(parts) == 1 or parts[1] in GROUND or parts[1].startswith("__"):
        return "ground"
    return parts[1]


def own(path: Path) -> str:
    """The room of a file."""
    return path.relative_to(ROOT).parts[0] if path.parent != ROOT else room(f"qarunner.{path.stem}")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lives_in(path: Path, homes: set[str]) -> bool:
    return any(name(path) == home or (home.endswith("/") and name(path).startswith(home)) for home in homes)


def test_imports_go_downwards() -> None:
    wrong = [
        f"{name(path)}: {own(path)} must not import {room(dotted)}: {dotted}"
        for path in files()
        for dotted in imports(path)
        if dotted.split(".")[0] == "qarunner" and room(dotted) not in {own(path), *BELOW[own(path)]}
    ]
    assert not wrong, "\n".join(wrong)


def test_third_party_libraries_stay_at_home() -> None:
    wrong = []
    for path in files():
        for top in sorted({dotted.split(".")[0] for dotted in imports(path)} - sys.stdlib_module_names - {"qarunner"}):
            if top not in HOMES:
                wrong.append(f"{name(path)}: {top} has no home yet: say in HOMES where it lives")
            elif not lives_in(path, HOMES[top]):
                wrong.append(f"{name(path)}: {top} lives in {sorted(HOMES[top])}")
    assert not wrong, "\n".join(wrong)


def test_the_world_is_met_in_few_places() -> None:
    apart = {"emulator/", "testing/"}  # the suite takes the world away from adapters, to see if they miss it
    wrong = [
        f"{name(path)}: {top} lives in {sorted(AMBIENT[top])}"
        for path in files()
        for top in sorted({dotted.split(".")[0] for dotted in imports(path)} & set(AMBIENT))
        if not lives_in(path, AMBIENT[top] | apart)
    ]
    assert not wrong, "\n".join(wrong)


def test_adapters_do_not_know_each_other() -> None:
    adapters = ("doksi", "docketqa", "testerarmy", "certyn")
    for path in (ROOT / "vendors").glob("*/*.py"):
        for dotted in imports(path):
            for vendor in adapters:
                if vendor != path.parent.name:
                    assert f"vendors.{vendor}" not in dotted, f"{path.name} imports {dotted}"


def test_what_is_known_of_a_vendor_is_data_in_its_folder() -> None:
    for path in (ROOT / "vendors").glob("*/info.py"):
        ours = {dotted for dotted in imports(path) if dotted.startswith("qarunner.")}
        allowed = ("qarunner.vendors.types.", "qarunner.entry.", "qarunner.decode.Json")
        assert all(dotted.startswith(allowed) for dotted in ours), f"{path.parent.name}: {sorted(ours)}"


def test_only_the_rehearsal_knows_the_emulator() -> None:
    for path in files():
        if not lives_in(path, {"emulator/", "app/session.py", "cli/main.py"}):
            assert not any(dotted.startswith("qarunner.emulator") for dotted in imports(path)), path


def test_functions_stay_small() -> None:
    for path in files():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= 60, f"{name(path)}:{node.lineno} {node.name} has {length} lines"
