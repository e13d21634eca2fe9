"""The image, as far as it can be tried without an engine: what it copies, who it runs as, and process 1's signals."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.amount import FULL, PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
UNSHARE = shutil.which("unshare")


def may_unshare() -> bool:
    """Whether this machine lets us begin a process tree of our own."""
    if UNSHARE is None:
        return False
    done = subprocess.run([UNSHARE, "--pid", "--fork", "true"], capture_output=True, check=False)
    return done.returncode == 0


def test_what_the_package_is_built_from_is_in_the_context() -> None:
    kept = re.findall(r"^!(.+)$", (ROOT / ".containerignore").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert all((ROOT / name).exists() for name in kept)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    named = {"pyproject.toml", project["project"]["readme"], *wheel["packages"], *wheel["force-include"]}
    assert {*named, "install.py", "requirements-emulator.txt"} <= set(kept)
    assert (ROOT / ".dockerignore").read_bytes() == (ROOT / ".containerignore").read_bytes()


def test_it_runs_as_nobody_in_particular_and_the_program_is_process_1() -> None:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (.+)$", text, flags=re.MULTILINE) == ["10001"]
    assert 'ENTRYPOINT ["qarunner"]' in text, "a shell as process 1 passes no signal on"
    assert re.search(r"python:\d+\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}$", text, flags=re.MULTILINE)


@pytest.mark.parametrize(("name", "sections"), [("requirements.txt", 1), ("requirements-emulator.txt", 2)])
def test_every_dependency_has_its_version_and_its_hashes(name: str, sections: int) -> None:
    """What is not pinned could change from one build of the image to the next, and become another package."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.match(r"[a-z0-9._-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line) for line in lines), lines
    assert not re.search(r"https?://|file:|--index|--find", text), "which index is asked is the installer's business"
    pinned = {line.partition("==")[0].replace("_", "-") for line in lines}
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[dependency-groups]")[0]
    needed, extra = project.partition("[project.optional-dependencies]")[::2]
    declared = set(re.findall(r'"([a-z0-9-]+)[<>=]', needed)) | {"hatchling"}
    declared |= set(re.findall(r'"([a-z0-9-]+)[<>=]', extra)) if sections > 1 else set()
    assert declared <= pinned


@pytest.mark.skipif(not FULL or shutil.which("buildah") is None, reason="builds an image with buildah: make test-full")
def test_the_image_is_built_and_has_a_digest(tmp_path: Path) -> None:
    base = re.findall(r"^ARG PYTHON=(.+)$", (ROOT / "Containerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    if subprocess.run(["buildah", "pull", "--quiet", *base], capture_output=True, check=False).returncode:
        pytest.skip("the base image cannot be had from here")
    build = ["buildah", "bud", "--quiet", "--iidfile", str(tmp_path / "id"), str(ROOT)]
    subprocess.run(build, check=True)
    image = (tmp_path / "id").read_text(encoding="utf-8").strip()
    assert re.fullmatch("sha256:[0-9a-f]{64}", image)
    begun = subprocess.run(["buildah", "from", image], check=True, capture_output=True, encoding="utf-8").stdout.strip()
    shown = subprocess.run(["buildah", "run", begun, "--", "qarunner", "--version"], check=True, capture_output=True)
    subprocess.run(["buildah", "rm", begun], check=True, capture_output=True)
    assert shown.stdout.startswith(b"qarunner ")


@pytest.mark.skipif(not may_unshare(), reason="needs a process namespace of its own: unshare --pid")
@pytest.mark.parametrize("number", [signal.SIGTERM, *([signal.SIGINT] if FULL else [])])
def test_process_1_heeds_signals(tmp_path: Path, number: signal.Signals) -> None:
    """The kernel drops a signal that process 1 has no handler for: a stopped container would orphan its runs."""
    manifest = {
        "version": 1,
        "name": "a",
        "matrix": [
            {
                "id": "a",
                "vendor": "doksi",
                "platform": "web",
                "test_ids": ["abc"],
                "target": {"web_url": "https://a.example"},
            }
        ],
    }
    (tmp_path / "qa-matrix.yml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    (tmp_path / "long.yml").write_text("doksi: { tests: { abc: { duration: 10m } } }\n", encoding="utf-8")
    program = [sys.executable, "-m", "qarunner", "apply", "--rehearse", "--scenario", "long.yml", "--run-id", "r1"]
    assert UNSHARE is not None
    outer = subprocess.Popen(
        [UNSHARE, "--pid", "--fork", *program],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    try:
        journal = tmp_path / ".qarunner/runs/r1/journal.jsonl"
        deadline = time.monotonic() + PATIENCE_S
        while not (journal.exists() and "Accepted" in journal.read_text(encoding="utf-8")):
            assert time.monotonic() < deadline
            assert outer.poll() is None, outer.communicate()[0]
            time.sleep(0.05)
        inner = subprocess.run(["pgrep", "-P", str(outer.pid)], capture_output=True, encoding="utf-8", check=True)
        subprocess.run(["kill", f"-{int(number)}", inner.stdout.strip()], check=True)
        out, _ = outer.communicate(timeout=PATIENCE_S)
    finally:
        outer.kill()
        outer.wait()
    assert f"qarunner: exit {128 + number}" in out
    assert outer.returncode == 128 + number
