"""Every offline command does work in proportion to the entries: counted in calls, whatever the machine's speed."""

from __future__ import annotations

import cProfile
import itertools
from pathlib import Path
from typing import Any

import pytest

import qarunner
from qarunner.cli.main import run
from qarunner.engine.io.journal import Journal
from qarunner.plan.model import to_json
from tests.amount import FULL
from tests.report.large import events_of, large_plan
from tests.worlds import EPOCH, started

SMALL, TIMES = 100 if FULL else 32, 4
SLACK = 1.15
ROOT = str(Path(qarunner.__file__).parent)

HEAD = """version: 1
name: shop
env:
  STAGING: { default: "https://staging.example.com", format: uri }
vendors:
  certyn: { project: storefront, environment: staging }
matrix:
"""
FOUR = """  - id: web-{n}
    name: "Web {n} {{{{ matrix.locale }}}}"
    vendor: doksi
    axes: {{ locale: [de, fr] }}
    platform: web
    target: {{ web_url: "{{{{ env.STAGING }}}}/{n}" }}
    test_ids: [t{n}]
    labels: [smoke, area-{area}]
  - id: api-{n}
    vendor: docketqa
    test_ids: [{number}]
    needs: [{before}]
    labels: [nightly]
  - id: flow-{n}
    vendor: testerarmy
    test_ids: ["22222222-2222-4222-8222-{n:012d}"]
    needs: [api-{n}]
  - id: proc-{n}
    vendor: certyn
    category_ids: ["proc-{n}"]
    labels: [smoke]
"""
COMMANDS = {
    "validate": ["validate"],
    "plan": ["plan"],
    "select": ["plan", "--select", "label:smoke", "--select", "vendor:docketqa,*-1*", "--select", "!label:area-3"],
    "diff": ["diff", "before.yml"],
    "explain": ["explain", "web-1[locale=de]"],
    "explain all": ["explain", "*"],
    "status": ["status"],
    "report": ["report"],
    "junit": ["report", "--format", "junit"],
    "html": ["report", "--format", "html"],
    "runs": ["runs"],
}


def write(folder: Path, entries: int) -> None:
    """A mixed matrix, an earlier one that differs in each tenth of its blocks, and a finished run of that size."""
    blocks = [
        FOUR.format(n=n, number=1000 + n, area=n % 7, before=f"api-{n - 1}" if n % 10 else f"proc-{n}")
        for n in range(entries // 4)
    ]
    folder.mkdir()
    (folder / "qa-matrix.yml").write_text(HEAD + "".join(blocks), encoding="utf-8")
    before = [block.replace("[smoke]", "[slow]") for block in blocks]
    earlier = "".join(old if n % 10 == 0 else new for n, (old, new) in enumerate(zip(before, blocks, strict=True)))
    (folder / "before.yml").write_text(HEAD + earlier, encoding="utf-8")
    plan = large_plan(entries)
    with Journal.create(folder / ".qarunner" / "runs" / "r1", to_json(plan), started(EPOCH, plan)) as journal:
        for event in itertools.islice(events_of(plan), 1, None):
            journal.append(event)


def calls(words: list[str]) -> int:
    """How many calls the program's functions make and receive, C functions among them."""
    profile = cProfile.Profile()
    code = profile.runcall(run, words)
    assert code in {0, 1}, words  # the run that is reported did not pass
    entries: list[Any] = profile.getstats()
    ours = [entry for entry in entries if getattr(entry.code, "co_filename", "").startswith(ROOT)]
    in_c = (call for entry in ours for call in entry.calls or () if isinstance(call.code, str))
    return sum(entry.callcount for entry in (*ours, *in_c))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    parent = tmp_path_factory.mktemp("linear")
    write(parent / "small", SMALL)
    write(parent / "large", SMALL * TIMES)
    return parent / "small", parent / "large"


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_work_grows_no_faster_than_the_entries(
    words: list[str], folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small, large = folders
    monkeypatch.chdir(small)
    run(words)  # what is imported and cached once counts for neither
    few = calls(words)
    monkeypatch.chdir(large)
    many = calls(words)
    assert few > 100, capsys.readouterr().err
    assert many <= few * TIMES * SLACK, f"{few} calls became {many}"


def test_explaining_an_entry_grows_no_faster_than_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value of an axis, or a combination that was added, is not looked for among all of them for each row."""
    monkeypatch.chdir(tmp_path)
    counts = []
    for size in (1, SMALL, SMALL * TIMES):
        values = ", ".join(f"v{n}" for n in range(size))
        added = ", ".join(f"{{ l: w{n} }}" for n in range(size))
        rows = f"axes: {{ l: [{values}] }}, include: [{added}]"
        target = "platform: web, target: { web_url: 'https://x.example/{{ matrix.l }}' }"
        entry = f"{{ id: a, vendor: doksi, test_ids: [t], {rows}, {target} }}"
        Path("qa-matrix.yml").write_text(f"version: 1\nname: shop\nmatrix:\n  - {entry}\n", encoding="utf-8")
        counts.append(calls(["explain", "a"]))
        assert capsys.readouterr().out.count("runs: nothing leaves it out") == size * 2
    _, few, many = counts
    assert many <= few * TIMES * SLACK, f"{few} calls became {many}"


def test_a_plan_asks_once_about_what_the_manifest_itself_says(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default of a variable is known before the build is, and so is what the vendor says of it."""
    monkeypatch.chdir(folders[0])
    profile = cProfile.Profile()
    profile.runcall(run, ["plan"])
    entries: list[Any] = profile.getstats()
    counts = {
        (Path(entry.code.co_filename).parent.name, entry.code.co_name): entry.callcount
        for entry in entries
        if getattr(entry.code, "co_filename", "").startswith(ROOT)
    }
    rows = SMALL // 4 * 2  # those of doksi: an entry in four, in two languages
    assert counts["vendors", "check"] == rows
    assert counts["templates", "_row"] == rows
