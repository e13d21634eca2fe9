"""What each command imports: nobody waits for what the command does not need."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import json, sys
from qarunner.__main__ import main
sys.argv[1:] = json.loads(sys.argv[1])
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
PLANNER = {"qarunner.app.planning", "qarunner.plan.compile", "qarunner.plan.capabilities", "qarunner.manifest.load"}
HEAVY = {"yaml", "jinja2", "jsonschema", "jsonschema_rs", "requests", "rich", "sqlite3", "importlib.metadata"}


def loaded(folder: Path, *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(words)], capture_output=True, text=True, check=False, cwd=folder
    )
    document: set[str] = set(json.loads(done.stderr.splitlines()[-1]))
    return document


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        (("--version",), {"typer", "qarunner.cli.main", "qarunner.signals", "msgspec", "inspect", *PLANNER, *HEAVY}),
        (
            ("--help",),
            {"typer", "qarunner.app.apply.session", "qarunner.vendors.registry", *PLANNER, *HEAVY},
        ),
        (("apply", "--help"), {"qarunner.app.apply.session", "qarunner.vendors.registry", *PLANNER, *HEAVY}),
        (("status",), {"qarunner.app.apply.session", "qarunner.emulator", *PLANNER, *HEAVY}),
        (("runs",), {"qarunner.app.apply.session", "qarunner.emulator", *PLANNER, *HEAVY}),
        (("__complete", "zsh", "ap"), {"typer", *PLANNER, *HEAVY}),
        (("__complete", "zsh", "explain", ""), {"typer", "jinja2", "jsonschema", "requests", "qarunner.app.planning"}),
        (("validate",), {"jinja2", "jsonschema", "requests", "rich", "qarunner.engine", "qarunner.emulator"}),
        (("plan",), {"jinja2", "jsonschema", "requests", "rich", "qarunner.app.apply.session", "qarunner.emulator"}),
    ],
    ids=lambda each: " ".join(sorted(each)),  # the order of a set is another in each process
)
def test_a_command_loads_what_it_needs(tmp_path: Path, words: tuple[str, ...], left_out: set[str]) -> None:
    text = "version: 1\nname: a\nmatrix: [{ id: a, vendor: docketqa, test_ids: [1] }]\n"
    (tmp_path / "qa-matrix.yml").write_text(text, encoding="utf-8")
    assert loaded(tmp_path, *words) & left_out == set()
