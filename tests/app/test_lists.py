"""Lists and policies from outside, from the options to the plan, and back from a saved plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qarunner.app.files import read_var_files
from qarunner.cli.main import run
from qarunner.errors import ManifestError

MANIFEST = """version: 1
name: shop
env: { TAGS: { format: list }, LABELS: { format: list, default: smoke } }
vars:
  ids: [one, two]
  flaky: { reason: flaky, owner: me, until: 2999-01-01 }
vendors: { certyn: { project: shop } }
profiles: { nightly: { select: [label:nightly] } }
defaults: { platform: web }
matrix:
  - { id: a, vendor: certyn, tags: "{{ env.TAGS }}", labels: "{{ env.LABELS }}" }
  - id: b
    vendor: doksi
    test_ids: "{{ vars.ids }}"
    labels: [nightly]
    target: { web_url: https://shop.example.com }
    allow_failure: "{{ git.branch != 'main' }}"
    quarantine: "{{ vars.flaky if git.branch == 'main' else false }}"
"""


@pytest.fixture(autouse=True)
def _beside_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "QARUNNER_TAG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QARUNNER_BRANCH", "main")
    monkeypatch.chdir(tmp_path)
    Path("qa-matrix.yml").write_text(MANIFEST, encoding="utf-8")


def plan(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict[str, object]]:
    """The entries of a plan, by id."""
    assert run(["plan", "--format", "json", *words]) == 0, capsys.readouterr().err
    return {entry["id"]: entry for entry in json.loads(capsys.readouterr().out)["entries"]}


def ids(entry: dict[str, object]) -> object:
    return entry["selection"]["ids"]  # type: ignore[index]


def test_a_list_comes_from_a_file_an_option_or_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("v.yml").write_text("TAGS: [smoke, 'log in, log out']\nids: [three]\n", encoding="utf-8")
    planned = plan(capsys, "--var-file", "v.yml")
    assert (ids(planned["a"]), ids(planned["b"])) == (["smoke", "log in, log out"], ["three"])
    assert ids(plan(capsys, "--var-file", "v.yml", "--var", "TAGS=x,y")["a"]) == ["x", "y"]
    monkeypatch.setenv("QARUNNER_VAR_TAGS", '["z"]')
    assert ids(plan(capsys)["a"]) == ["z"]


def test_a_saved_plan_keeps_the_lists_that_it_was_made_with(capsys: pytest.CaptureFixture[str]) -> None:
    Path("v.json").write_text('{"TAGS": ["smoke", "a, b"], "ids": ["three"]}', encoding="utf-8")
    assert run(["plan", "--out", "plan.json", "--var-file", "v.json"]) == 0
    capsys.readouterr()
    code = run(["plan", "plan.json"])
    assert code == 0, capsys.readouterr().err


def test_labels_from_outside_choose_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(plan(capsys, "--var", "TAGS=x", "--select", "label:smoke")) == ["a"]
    assert list(plan(capsys, "--var", "TAGS=x", "--var", "LABELS=nightly", "--profile", "nightly")) == ["a", "b"]
    assert run(["validate"]) == 0


@pytest.mark.parametrize(
    ("branch", "gates"), [("main", "quarantine"), ("topic", "allow_failure"), (None, "allow_failure")]
)
def test_the_build_decides_what_gates(
    branch: str | None,
    gates: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tag's build has no branch: it equals nothing."""
    where = ["--branch", branch] if branch else ["--tag", "v1"]
    monkeypatch.delenv("QARUNNER_BRANCH")
    policy = plan(capsys, "--select", "b", *where)["b"]["policy"]
    assert isinstance(policy, dict)
    assert [key for key in ("allow_failure", "quarantine") if policy[key]] == [gates]
    assert run(["explain", "b", "--output", "json", *where]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["entries"]
    assert entry["gate"]["gating"] is False


def test_what_decides_is_named_where_the_branch_is_not_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QARUNNER_BRANCH")
    assert run(["explain", "b", "--output", "json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["entries"]
    assert entry["gate"]["gating"] is None
    assert "gates or not: quarantine is {{ vars.flaky" in entry["gate"]["reason"]
    assert run(["plan", "--select", "b"]) == 2
    assert "git.branch could not be found out" in capsys.readouterr().err


def test_what_a_file_cannot_hold(tmp_path: Path) -> None:
    file = tmp_path / "v.yml"
    file.write_text("A: [a, [b], { c: d }, null, 1.10, 7]\nB: { c: d }\nC: []\n", encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        read_var_files([file])
    assert [(diagnostic.place.line, diagnostic.place.column) for diagnostic in caught.value.diagnostics] == [
        *((1, 8), (1, 13), (1, 23), (1, 29), (2, 4)),
    ]
