"""docs/manifest.md: its sessions show what the program prints, and its lists what the program has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from qarunner.cli.main import run
from qarunner.manifest.expand import MOST_ROWS
from qarunner.manifest.templates.expression import FIELDS, LONGEST_SOURCE, LONGEST_TEXT
from qarunner.manifest.templates.jinja import ALLOWED_FILTERS as FILTERS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "manifest.md").read_text(encoding="utf-8")
SESSIONS = re.findall(r"^```console\n\$ qarunner ([^\n]*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("command", "shown"), SESSIONS, ids=[command for command, _ in SESSIONS])
def test_sessions(
    command: str, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT / "examples" / "expansion")
    monkeypatch.setenv("QARUNNER_BRANCH", "main")  # a checkout of a commit has none, and plan says so
    run(shlex.split(command))
    printed = capsys.readouterr()
    lines = (printed.out + printed.err).splitlines()
    # Where the page has …, the requests are left out.
    left = [line for line in lines if not ("…" in shown and (line.startswith("    ") or not line))]
    assert left == [line for line in shown.splitlines() if line != "…"]


def test_the_page_has_all_filters_and_fields_and_the_bounds() -> None:
    listed = re.search(r"Filters: `([^`]*)`", PAGE)
    assert listed is not None
    assert tuple(listed[1].split()) == FILTERS
    for root, fields in FIELDS.items():
        row = re.search(rf"^\| `{root}` \|(.*)\|$", PAGE, re.MULTILINE)
        assert row is not None
        assert [name for name in re.findall(r"`(\w+)`", row[1]) if name != root] == list(fields)
    assert all(f"{number:,}" in PAGE for number in (MOST_ROWS, LONGEST_SOURCE, LONGEST_TEXT))


@pytest.mark.parametrize("file", ["qa-matrix.yml", "qa/search.yml"])
def test_what_the_page_quotes_of_the_example_stands_there(file: str) -> None:
    text = (ROOT / "examples" / "expansion" / file).read_text(encoding="utf-8")
    quoted = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert any(block in text for block in quoted)
