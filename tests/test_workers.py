"""Tests in several processes: what each of them says arrives, and a process that goes away is no success."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = {
    "test_one": "def test_passes(tmp_path): pass\ndef test_fails(): print('a clue'); assert 1 == 2",
    "test_two": "import os\ndef test_goes(): os._exit(0)\ndef test_later(): pass",
}
ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")
def test_a_failure_and_a_lost_process_fail_the_suite(tmp_path: Path) -> None:
    for name, text in TESTS.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        "from tests.workers import Workers\ndef pytest_configure(config): config.pluginmanager.register(Workers(2))",
        encoding="utf-8",
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:hypothesispytest", "-p", "no:cacheprovider", "."]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, encoding="utf-8", check=False)
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED, ended.stdout
    assert "2 failed, 1 passed" in ended.stdout
    assert "FAILED test_one.py::test_fails" in ended.stdout
    assert "a clue" in ended.stdout
    assert "FAILED test_two.py::test_goes - the worker that ran it ended with 0" in ended.stdout
