"""What makes a release, as far as it can be tried without a host: the check of the tag, the workflows' rules."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.pipelines.conftest import git

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
OWN = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOWS = [*OWN, *sorted((ROOT / "examples" / "pipelines" / "github").glob("*.yml"))]
MAY_WRITE = {
    ("release.yml", "attest"): {"id-token", "attestations"},
    ("release.yml", "pypi"): {"id-token"},
    ("release.yml", "release"): {"contents"},
    ("qa.yml", "qa"): {"pull-requests"},
}
"""By workflow and job: all that any of them may write."""


def read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return data


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_do_no_more_than_it_needs(path: Path) -> None:
    data = read(path)
    assert data["permissions"] == {}
    for name, job in data["jobs"].items():
        assert isinstance(job["permissions"], dict), name
        writes = {key for key, value in job["permissions"].items() if value == "write"}
        assert writes == MAY_WRITE.get((path.name, name), set())


def steps(path: Path) -> list[Mapping[str, Any]]:
    data = read(path)
    jobs = [data["runs"]] if "runs" in data else data["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / "action.yml"], ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_no_expression_stands_in_a_script(path: Path) -> None:
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        assert "${{" not in step.get("run", ""), f"{step['run']}: whoever names a branch would write the script"


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_a_page_shows_actions_by_their_commit(path: Path) -> None:
    for version in re.findall(r"(?:uses: \S+@|rev: |component: \S+@)(\S+)", path.read_text(encoding="utf-8")):
        assert re.fullmatch("[0-9a-f]{40}", version), version


def test_an_image_of_python_is_named_by_its_digest() -> None:
    """CircleCI's own image has no digest that anything here could check."""
    for path in [
        ROOT / "Containerfile",
        ROOT / "templates" / "qarunner.yml",
        *(ROOT / "examples" / "pipelines").rglob("*"),
    ]:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        for image in re.findall(r"(?<!cimg/)\bpython:3[^\s'\"]*", text):
            assert re.search("@sha256:[0-9a-f]{64}$", image), f"{path}: {image}"


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not installed")
def test_actionlint_finds_nothing() -> None:
    done = subprocess.run(["actionlint", *map(str, WORKFLOWS)], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout


# --- the tag ----------------------------------------------------------------------------------------------------------

needs_keys = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


def committed(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "files")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of a project whose main is ready for 0.2.0, with two people's keys: one may sign, the other may not."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for words in (("init", "-q", "-b", "main"), ("config", "user.name", "a"), ("config", "user.email", "a@b.example")):
        git(folder, *words)
    for name in ("ours", "theirs"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(key, check=True, stdin=subprocess.DEVNULL)
    git(folder, "config", "gpg.format", "ssh")
    committed(
        folder,
        {
            "qarunner/__init__.py": '__version__ = "0.2.0"\n',
            "CHANGELOG.md": "# Changelog\n\n## 0.2.0 - 2026-01-01\n\n- News.\n\n## 0.1.0\n\n- Old.\n",
            "tests/golden/versions/0.2.0/journal.jsonl": "{}\n",
            "release/allowed_signers": f"a@b.example {(tmp_path / 'ours.pub').read_text(encoding='utf-8')}",
        },
    )
    git(folder, "update-ref", "refs/remotes/origin/main", "HEAD")
    return folder


def check(clone: Path, tag: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-I", str(ROOT / "release" / "tag.py"), tag]
    return subprocess.run(program, cwd=clone, capture_output=True, encoding="utf-8", check=False)


def signed(clone: Path, tag: str, key: str = "ours") -> None:
    git(clone, "-c", f"user.signingkey={clone.parent / key}", "tag", "-s", "-m", tag, tag)


@needs_keys
def test_a_signed_tag_of_main_is_a_release_and_gives_its_notes(clone: Path) -> None:
    signed(clone, "v0.2.0")
    done = check(clone, "v0.2.0")
    assert (done.returncode, done.stdout) == (0, "- News.\n"), done.stderr


@needs_keys
@pytest.mark.parametrize("kind", ["unsigned", "light", "stranger", "own signers"])
def test_a_tag_that_no_signer_of_main_signed_is_none(clone: Path, kind: str) -> None:
    if kind == "unsigned":
        git(clone, "tag", "-a", "-m", "a", "v0.2.0")
    elif kind == "light":
        git(clone, "tag", "v0.2.0")
    else:
        if kind == "own signers":
            theirs = (clone.parent / "theirs.pub").read_text(encoding="utf-8")
            committed(clone, {"release/allowed_signers": f"a@b.example {theirs}"})
        signed(clone, "v0.2.0", "theirs")
    done = check(clone, "v0.2.0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no signature of release/allowed_signers" in done.stderr
    assert ("v0.2.0 is not on main" in done.stderr) is (kind == "own signers")


@needs_keys
def test_all_that_is_wrong_with_a_tag_is_said_at_once(clone: Path) -> None:
    committed(clone, {"qarunner/__init__.py": '__version__ = "0.3.0"\n'})
    signed(clone, "v0.3.0")
    lines = check(clone, "v0.3.0").stderr.splitlines()
    assert [line.partition(": ")[2][:24] for line in lines] == [
        "v0.3.0 is not on main",
        "CHANGELOG.md has no sect",
        "tests/golden/versions/0.",
    ]
    signed(clone, "v0.4.0")
    assert "v0.4.0: qarunner/__init__.py has the version 0.3.0" in check(clone, "v0.4.0").stderr
