"""`make dist`: the same commit gives the same bytes, and they install without an index. In full runs alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.amount import FULL

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not FULL, reason="downloads a wheelhouse: make test-full")


def made(folder: Path) -> str:
    subprocess.run([sys.executable, str(ROOT / "release" / "dist.py"), str(folder)], check=True, cwd=folder.parent)
    return (folder / "SHA256SUMS").read_text(encoding="utf-8")


def test_it_is_the_same_each_time_and_installs_without_an_index(tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    assert made(dist) == made(tmp_path / "again")
    install = [sys.executable, "-I", str(dist / "install.py"), "--from", str(dist), str(tmp_path / "home")]
    subprocess.run(install, check=True, env={})
    shown = subprocess.run([str(tmp_path / "home" / "bin" / "qarunner"), "--version"], check=True, capture_output=True)
    assert shown.stdout.startswith(b"qarunner ")
    wheel = next(path for path in (dist / "wheelhouse").glob("typer-*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"x")
    assert subprocess.run(install, check=False, env={}).returncode == 1
