"""`init` writes what is valid as it stands, for every choice of vendors, and overwrites nothing."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from qarunner import __version__
from qarunner.app.planning import check_manifest
from qarunner.cli.commands.authoring import starter
from qarunner.cli.main import run
from qarunner.manifest.schema import validate as published
from qarunner.vendors import registry

NAMES = registry.names_builtin()
CHOICES = [choice for size in range(1, len(NAMES) + 1) for choice in combinations(NAMES, size)]


@pytest.mark.parametrize("vendors", CHOICES, ids="+".join)
def test_every_choice_is_valid(vendors: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "qa-matrix.yml"
    starters = [part for name in vendors if (part := registry.get(name).info.starter)]
    assert len(starters) == len(vendors), "each built-in vendor has one"
    path.write_text(starter("shop", starters), encoding="utf-8")
    checked = check_manifest(path, {})
    assert checked.problems == ()
    assert [row.data["vendor"] for row in checked.rows] == list(vendors)


def test_it_writes_both_files_and_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["init", "--vendor", "doksi", "--vendor", "certyn"]) == 0
    out, err = capsys.readouterr()
    assert out == "qa-matrix.yml: written, with qa-matrix.schema.json for editors\n"
    assert "DOKSI_API_KEY, CERTYN_API_KEY" in err
    assert run(["validate"]) == 0
    assert (tmp_path / "qa-matrix.schema.json").read_text(encoding="utf-8") == published.for_editors()
    before = (tmp_path / "qa-matrix.yml").read_text(encoding="utf-8")
    assert before.startswith("# yaml-language-server: $schema=./qa-matrix.schema.json\nversion: 1\n")
    assert run(["init", "--vendor", "docketqa"]) == 2
    assert "qa-matrix.yml is already there" in capsys.readouterr().err
    assert (tmp_path / "qa-matrix.yml").read_text(encoding="utf-8") == before


def test_a_published_schema_is_named_by_the_version_in_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for wrong in (
        "https://qa.example/schema.json",
        "https://qa.example/99.0.0/a.json",
        "http://qa.example/{version}/a",
        "https://qa.example/{version}/{name}.json",
        "https://user:word@qa.example/{version}/a",
    ):
        assert run(["init", "--vendor", "doksi", "--schema", wrong]) == 2
        assert f"an https address with the version {__version__} in it" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert run(["init", "--vendor", "doksi", "--schema", "https://qa.example/v{version}/qa.json"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["qa-matrix.yml"]
    line = f"# yaml-language-server: $schema=https://qa.example/v{__version__}/qa.json\n"
    assert (tmp_path / "qa-matrix.yml").read_text(encoding="utf-8").startswith(line)
    capsys.readouterr()
    assert run(["validate"]) == 0
    assert capsys.readouterr().err == ""


def test_the_other_name_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("qa-matrix.yaml").write_text("version: 1\n", encoding="utf-8")
    assert run(["init", "--vendor", "doksi"]) == 2
    assert not Path("qa-matrix.yml").exists()


@pytest.mark.parametrize(
    ("words", "message"), [([], "choose a vendor"), (["--vendor", "doski"], "did you mean 'doksi'?")]
)
def test_a_vendor_has_to_be_chosen(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["init", *words]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
