"""docs/errors.md: every code of the program has a page, whose example gives that code, and whose correction is one."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qarunner.app.explain.codes import pages, plain, source
from qarunner.cli.main import run
from qarunner.emulator import serve
from qarunner.manifest import codes
from qarunner.manifest.schema import validate as schema
from qarunner.text import plain as text_of

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
PAGES = pages()
UNREACHABLE = {codes.OTHER, codes.Code.NOTHING_TO_RUN}
"""Codes that no manifest is known to give."""
SECTION = re.compile(r"^## ([EW]\d{3})\n.*?(?=^## [EW]|\Z)", re.MULTILINE | re.DOTALL)
HOW = "write a section `## {}` in docs/errors.md, like those beside it, and run `make golden`"


def codes_in_the_program() -> set[str]:
    matches = set(re.findall(r'"x-code": "(\w+)"', schema.text()))
    for path in (ROOT / "qarunner").rglob("*.py"):
        matches |= set(re.findall(r'"([EW]\d{3})"', path.read_text(encoding="utf-8")))
    return matches


def manifest_bytes(body: str, info: str) -> bytes:
    """A block as the file that it stands for: `escaped` has bytes as \\x07, `times=N` repeats its last line."""
    raw = body.encode()
    if "escaped" in info:
        raw = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), raw).replace(rb"\t", b"\t")
    times = re.search(r"times=(\d+)", info)
    return raw + raw.splitlines(keepends=True)[-1] * (int(times[1]) if times else 0)


def corrected(example: str, diff: str) -> str:
    """The example with each run of `-` lines replaced by the run of `+` lines after it."""
    text = example
    for removed, added in re.findall(r"((?:^-[^\n]*\n)+)((?:^\+[^\n]*\n)*)", diff, re.MULTILINE):
        old, new = (re.sub(r"^[-+]", "", lines, flags=re.MULTILINE) for lines in (removed, added))
        assert f"\n{old}" in f"\n{text}", old
        text = f"\n{text}".replace(f"\n{old}", f"\n{new}", 1)[1:]
    return text


@pytest.fixture
def printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str, bytes], str]:
    """What a command prints beside a manifest."""
    for name in (
        "CI",
        "GITHUB_ACTIONS",
        "GITLAB_CI",
        "QARUNNER_ALLOW_SECRETS",
        "QARUNNER_ENV",
        "STAGING_URL",
        "LOCALE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def call(command: str, manifest: bytes) -> str:
        (tmp_path / "qa-matrix.yml").write_bytes(manifest)
        if b"paths:" in manifest:  # git tells which files there are
            subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
        words = shlex.split(command)
        while "=" in words[0]:
            monkeypatch.setenv(*words.pop(0).split("=", 1))
        if words[1] == "lock":  # the one command here that asks a vendor
            with serve(tmp_path / "scenario.yml") as vendors:
                for name, value in vendors.environ.items():
                    monkeypatch.setenv(name, value)
                run(words[1:])
        else:
            run(words[1:])
        out, err = capsys.readouterr()
        return out + err

    return call


def test_every_code_has_a_page() -> None:
    missing = codes_in_the_program() - set(PAGES)
    assert not missing, "; ".join(HOW.format(code) for code in sorted(missing))
    assert set(PAGES) == codes_in_the_program()
    assert list(PAGES) == sorted(PAGES)


def test_a_page_begins_with_what_its_code_means() -> None:
    assert [code for code, page in PAGES.items() if not page.title.endswith(".")] == []
    assert len({page.title for page in PAGES.values()}) == len(PAGES)


@pytest.mark.parametrize("code", sorted(set(PAGES) - UNREACHABLE))
def test_the_example_has_the_code_and_its_correction_has_not(
    code: str, tmp_path: Path, printed: Callable[[str, bytes], str], request: pytest.FixtureRequest
) -> None:
    section = next(found for found in SECTION.finditer(source()) if found[1] == code)[0]
    example = re.search(r"^```yaml *([^\n]*)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    session = re.search(r"^```console\n\$ ([^\n]*)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert example is not None
    assert session is not None
    for name, text in re.findall(r"^```text (\S+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    shown = printed(session[1], manifest_bytes(example[2], example[1]))
    matches = set(re.findall(r'\[([EW]\d{3})\]$|"code": "([EW]\d{3})"', shown, re.MULTILINE))
    assert {first or second for first, second in matches} == {code}, shown
    assert "\x1b" not in shown
    if request.config.getoption("--update-golden"):
        update(section, session[0], f"```console\n$ {session[1]}\n{readable(shown)}```")
    else:
        assert session[2] == readable(shown)
    diff = re.search(r"^```diff\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    if diff is not None:
        right = manifest_bytes(corrected(example[2], diff[1]), example[1])
        after = printed(session[1], right)
        assert "error:" not in after, right.decode()
        # A short example may send too little to differ: that is a warning of its own.
        assert code not in after, right.decode()


def readable(shown: str) -> str:
    """Output as the page can hold it: other control characters are shown as they are written in the example."""
    return re.sub(r"[\x00-\x08\x0b-\x1f]", lambda match: f"\\x{ord(match[0]):02x}", shown.replace("\t", "\\t"))


def update(section: str, old: str, new: str) -> None:
    path = ROOT / "docs" / "errors.md"
    path.write_text(
        path.read_text(encoding="utf-8").replace(section, section.replace(old, new)), encoding="utf-8", newline="\n"
    )


def test_messages_md_shows_what_is_printed(printed: Callable[[str, bytes], str]) -> None:
    text = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"^```(console|json|text)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    command, shown = blocks["console"].removeprefix("$ ").split("\n", 1)
    manifest = b"version: 1\nname: storefront\nmatrix:\n" + b"\n" * 8 + b"  - id: checkout\n    vendor: doski\n"
    manifest += b"    test_ids: [abc123]\n"
    assert printed(command, manifest) == shown
    assert printed(f"{command} --output json", manifest) == blocks["json"]
    assert printed(f"{command} --output github", manifest).startswith(blocks["text"])


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_terminal_gets_the_page_without_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "e204"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("E204: A required key is missing.\n\n")
    assert "    $ qarunner validate\n    qa-matrix.yml:4:5: error: missing key 'vendor' [E204]\n" in text
    assert "\nPut right:\n\n    -" in text
    for page in PAGES.values():
        lines = list(map(text_of, plain(page)))
        assert not any("```" in line or "](" in line for line in lines), page.code


def test_json_has_the_page_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "E204", "--output", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["code"], data["title"]) == ("E204", "A required key is missing.")
    assert data["text"] == PAGES["E204"].text


def test_an_unknown_code_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "E999"]) == 2
    assert "unknown code 'E999'" in capsys.readouterr().err
