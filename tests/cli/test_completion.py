"""Pressing Tab: what a shell gets, through its own script and at once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qarunner.app.options import CompletionOptions, options_of
from qarunner.cli.command_line import COMMANDS
from qarunner.cli.completion import FILES, Candidate, answer, candidates, script
from qarunner.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Sequence

STORED = Path(__file__).parent.parent / "golden" / "report" / "uncertain"
MANIFEST = """
version: 1
name: shop
env: { STAGING_URL: { format: uri } }
profiles: { nightly: {}, release: {} }
matrix:
  - id: checkout
    vendor: doksi
    test_ids: [a1]
    variants:
      web: { platform: web, target: { web_url: "https://a.example" } }
      android: { platform: android, target: { target_id: t1 } }
  - { id: search, vendor: doksi, platform: web, test_ids: [b1], axes: { locale: [en, de] },
      target: { web_url: "https://a.example/{{ matrix.locale }}" } }
  - { id: broken, vendor: doksi, platfrom: web }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose manifest has a problem, with a run in a folder that was named."""
    (tmp_path / "qa-matrix.yml").write_text(MANIFEST, encoding="utf-8")
    (tmp_path / ".git").mkdir()
    (tmp_path / "kept" / "r1").mkdir(parents=True)
    (tmp_path / "kept" / "r1" / "plan.json").write_text("{}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(*line: str) -> list[str] | None:
    completions = candidates(line, {})
    return None if completions is None else [candidate.word for candidate in completions]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["sta"], ["status"]),
        (["--color", "always", "sta"], ["status"]),
        (["help", "appl"], ["apply"]),
        (["apply", "--on-i"], ["--on-interrupt"]),
        (["apply", "--on-interrupt", ""], ["cancel", "detach"]),
        (["apply", "--color="], ["--color=auto", "--color=always", "--color=never"]),
        (["apply", "--profile", ""], ["nightly", "release"]),
        (["plan", "--env", ""], ["STAGING_URL"]),
        (["plan", "--var=STA"], ["--var=STAGING_URL="]),
        (["explain", "se"], ["search[locale=en]", "search[locale=de]"]),
        (["explain", "E44"], [f"E44{number}" for number in range(6)]),
        (["--color", ""], ["auto", "always", "never"]),
        (["history", "--format", "json", "checkout/w"], ["checkout/web"]),
        (["plan", "--select", "vendor:do"], ["vendor:docketqa", "vendor:doksi"]),
        (["plan", "--select", "platform:"], ["platform:web", "platform:android", "platform:ios"]),
        (["plan", "--select=!plat"], ["--select=!platform:"]),
        (["plan", "--select", "!checkout/w"], ["!checkout/web"]),
        (["apply", "--report", "j"], ["json=", "junit="]),
        (["status", "--runs-dir", "kept", ""], ["r1"]),
        (["report", "--runs-dir=kept", "r1", "r"], ["r1"]),
        (["vendors", "doc"], ["docketqa"]),
        (["runs", "--export", ""], ["jsonl"]),
        (["completion", "f"], ["fish"]),
        (["plan", "--branch", ""], []),
        (["status", "one", "two", ""], []),
        (["nosuch", "-"], ["--quiet", "--verbose", "--color", "--no-color", "--help"]),
        (["apply", ""], None),
        (["apply", "--env-file", ""], None),
        (["apply", "--report", "junit="], None),
    ],
)
def test_what_can_stand_there(line: Sequence[str], expected: list[str] | None) -> None:
    assert words(*line) == expected


def test_a_decision_is_offered_the_jobs_that_are_uncertain(folder: Path) -> None:
    shutil.copytree(STORED, folder / ".qarunner" / "runs" / "r1")
    assert candidates(["resume", "--drop", ""], {}) == [Candidate("doksi-1", "paid")]
    assert words("resume", "--runs-dir", ".qarunner/runs", "r1", "--resubmit=") == ["--resubmit=doksi-1"]
    assert words("resume", "nosuch", "--drop", "") == []


def test_every_command_and_option_is_offered() -> None:
    assert set(words("") or ()) == {*COMMANDS, "help", "version"}
    for name in COMMANDS:
        assert "--color" in (words(name, "-") or ())


def test_nothing_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "qa-matrix.yml").write_text("matrix: [", encoding="utf-8")
    for line in (["zsh", "explain", ""], ["bash", "x"], [], ["bash", "qarunner explain ", "17", ""]):
        assert run(["__complete", *line]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_cursor_within_a_line_quotes_and_breaks_of_words() -> None:
    assert answer("bash", ["qarunner sta --color never", "12", ""], {}) == "status"
    for begun, completed in {
        "qarunner explain sea": r"search\[locale=en\]",
        "qarunner explain 'sea": "search[locale=en]",
        "qarunner explain 'search[locale=d": "search[locale=de]",
        'qarunner explain "search[locale=d': "search[locale=de]",
        r"qarunner explain search\[locale=d": r"de\]",
        "qarunner plan --select=vendor:dok": "doksi",
        "qarunner plan --select='vendor:dok": "vendor:doksi",
        "qarunner plan --select '!label": "!label:",
        "qarunner plan --select \\!label": r"\!label:",
    }.items():
        assert answer("bash", [begun, str(len(begun)), "=:"], {}).splitlines()[0] == completed, begun
    assert answer("powershell", ["qarunner apply", "15"], {}) == FILES
    assert answer("fish", ["completion", "--", "z"], {}) == "zsh\t"
    for begun in ("'search[locale=d", '"search[locale=d', r"search\[locale=d"):
        for shell in ("zsh", "fish"):
            assert answer(shell, ["explain", begun], {}) == "search[locale=de]\tdoksi"


def test_the_scripts_ask_this_program(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for shell in options_of(CompletionOptions)[0].words:
        assert run(["completion", shell]) == 0
        shown = capsys.readouterr().out
        assert shown.strip() == script(shell).strip()
        assert f"qarunner __complete {shell}" in shown
        program = shutil.which(shell)
        if program is not None and shell != "powershell":
            file = folder / "script"
            file.write_text(shown, encoding="utf-8")
            subprocess.run([program, "-n", str(file)], check=True, timeout=60)
    assert run(["completion", "basj"]) == 2
    assert "bash" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_gets_words_that_it_can_put_in(folder: Path) -> None:
    (folder / "qarunner").write_text(
        "#!/bin/sh\nprintf '%s\\n' 'search\\[locale=en\\]' 'a'\n[ -n \"$4\" ] || exit 1\n", encoding="utf-8"
    )
    (folder / "qarunner").chmod(0o755)
    (folder / "script").write_text(script("bash"), encoding="utf-8")
    ask = '. ./script; COMP_LINE="qarunner x"; COMP_POINT=10; _qarunner; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", f'PATH=".:$PATH"; {ask}'],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=folder,
    )
    assert done.stdout.splitlines() == [r"search\[locale=en\]", "a"]
    assert re.search("^complete ", script("bash"), re.MULTILINE)


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
def test_fish_gets_what_begins_like_the_word_in_its_quotes(folder: Path) -> None:
    (folder / "qarunner").write_text(
        '#!/bin/sh\ncase "$*" in *junit=*) echo :files;; *) printf "%s\\tabout it\\n" "search[locale=de]";; esac\n',
        encoding="utf-8",
    )
    (folder / "qarunner").chmod(0o755)
    (folder / "script.fish").write_text(script("fish"), encoding="utf-8")
    for line, expected in {
        "qarunner explain 'search[loc": ["search[locale=de]\tabout it"],
        "qarunner apply --report junit=qa-m": ["junit=qa-matrix.yml"],
    }.items():
        done = subprocess.run(
            ["fish", "--no-config", "-c", 'set -p PATH .; source script.fish; complete -C "$argv[1]"', line],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            cwd=folder,
            env={**os.environ, "HOME": str(folder)},
        )
        assert done.stdout.splitlines() == expected
