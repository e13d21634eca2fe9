"""docs/tutorial.md: a reader who types its commands sees what it shows. Rehearsals are tested where they are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.cli.main import run

if TYPE_CHECKING:
    import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "tutorial.md").read_text(encoding="utf-8")
SHOWN = dict(re.findall(r"^\$ qarunner ([^\n]*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    run(list(words))
    printed = capsys.readouterr()
    return printed.out + printed.err


def test_its_commands_print_what_it_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tut"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "QARUNNER_VAR_STAGING_URL"):
        monkeypatch.delenv(name, raising=False)
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b.example")
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)

    assert SHOWN["init --vendor doksi --vendor certyn"] in said(
        capsys, "init", "--vendor", "doksi", "--vendor", "certyn"
    )
    manifest = folder / "qa-matrix.yml"
    _, _, written = manifest.read_text(encoding="utf-8").partition("\n")
    assert f"```yaml\n{written}```" in PAGE
    assert said(capsys, "validate") == SHOWN["validate"]
    first, planned = re.findall(r"^\$ qarunner plan\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert said(capsys, "plan") == first
    monkeypatch.setenv("QARUNNER_VAR_STAGING_URL", "https://staging.example.com")
    begins, _, ends = planned.partition("…\n")
    text = said(capsys, "plan")
    assert text.startswith(begins)
    assert ends in text

    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    (block,) = re.findall(r"^```diff\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    before, after = (
        "".join(f"{line[1:]}\n" for line in block.splitlines() if line[0] in f" {sign}") for sign in ("-", "+")
    )
    old = manifest.read_text(encoding="utf-8")
    assert before in old
    manifest.write_text(old.replace(before, after, 1), encoding="utf-8")
    commit = r"\(\w{8}\)"
    assert re.sub(commit, "", said(capsys, "diff", "HEAD")) == re.sub(commit, "", SHOWN["diff HEAD"])
    assert said(capsys, "explain", "checkout[page=pay]").startswith(
        SHOWN["explain 'checkout[page=pay]'"].partition("…")[0]
    )
