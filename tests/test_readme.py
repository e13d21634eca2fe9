"""The README tells what the program does: its tables equal the program's, and its manifest is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qarunner.app.planning import check_manifest
from qarunner.cli.command_line import COMMANDS
from qarunner.errors import PRECEDENCE, ExitCode
from qarunner.vendors import registry

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def text() -> str:
    return README.read_text(encoding="utf-8")


def test_every_command_is_in_the_readme() -> None:
    assert set(COMMANDS) == set(re.findall(r"^\| `qarunner (\w+)", text(), re.MULTILINE))


def test_every_exit_code_is_in_the_readme() -> None:
    section = text().split("## Exit codes")[1].split("## ")[0]
    codes = {int(code) for row in re.findall(r"^\| ([0-9, ]+) \|", section, re.MULTILINE) for code in row.split(",")}
    assert codes == {int(code) for code in ExitCode}
    assert ", ".join(str(int(code)) for code in PRECEDENCE) in section


def test_the_manifest_in_the_readme_is_valid(tmp_path: Path) -> None:
    manifest = re.search(r"```yaml\n(.*?)```", text(), re.DOTALL)
    assert manifest is not None
    path = tmp_path / "qa-matrix.yml"
    path.write_text(manifest[1], encoding="utf-8")
    checked = check_manifest(path, {})
    assert checked.problems == ()
    assert [row.id for row in checked.rows] == ["checkout/web", "checkout/android", "release-smoke"]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("qa-matrix.yml")), ids=lambda path: path.parent.name)
def test_every_example_is_valid(path: Path) -> None:
    if path.with_name("pyproject.toml").exists():
        pytest.skip("needs the plugin beside it; tests/testing installs it")
    assert check_manifest(path, {}).problems == ()


def test_every_builtin_vendor_has_an_example() -> None:
    assert set(registry.names_builtin()) <= {path.parent.name for path in (ROOT / "examples").glob("*/qa-matrix.yml")}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", text()):
        assert (ROOT / target).exists(), target
