"""What `include` finds on a real disk."""

from __future__ import annotations

import os
import sys
import zipfile
from datetime import date
from typing import TYPE_CHECKING

import pytest

from qarunner.app.choosing import Inputs
from qarunner.app.options import PlanOptions
from qarunner.app.planning import check_manifest, check_with_profiles, make_plan
from qarunner.entry import TargetKind
from tests.matrices import only

if TYPE_CHECKING:
    from pathlib import Path

    from qarunner.app.planning import PlanResult

DAY = date(2026, 11, 22)
HEAD = "version: 1\nname: shop\ndefaults: { vendor: doksi, platform: web, target: { web_url: 'https://x.example' } }\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    (root / "e2e" / "qa" / "deep").mkdir(parents=True)
    monkeypatch.chdir(root)
    return root


def fragment(path: Path, *ids: str, **keys: str) -> None:
    rest = "".join(f", {key}: {value}" for key, value in keys.items())
    path.write_text(
        "matrix:\n" + "".join(f"  - {{ id: {entry_id}, test_ids: [t]{rest} }}\n" for entry_id in ids), "utf-8"
    )


def including(root: Path, *globs: str) -> Path:
    manifest = root / "e2e" / "qa-matrix.yml"
    listed = ", ".join(f"'{glob}'" for glob in globs)
    manifest.write_text(f"{HEAD}include: [{listed}]\nmatrix:\n  - {{ id: own, test_ids: [t] }}\n", "utf-8")
    return manifest.relative_to(root)


def ids(manifest: Path) -> list[str]:
    checked = check_manifest(manifest, os.environ)
    assert checked.problems == ()
    return [row.id for row in checked.rows]


def said(manifest: Path) -> str:
    return only(check_manifest(manifest, os.environ).problems).message


def test_globs_begin_at_the_manifests_folder_and_names_are_in_order(repository: Path) -> None:
    fragment(repository / "e2e" / "qa" / "b.yml", "b")
    fragment(repository / "e2e" / "qa" / "a.yml", "z")
    fragment(repository / "e2e" / "qa" / "deep" / "c.yml", "c")
    (repository / "e2e" / "qa" / "deep" / "notes.txt").write_text("no", "utf-8")
    assert ids(including(repository, "qa/**/*.yml")) == ["own", "z", "b", "c"]
    assert ids(including(repository, "qa/*")) == ["own", "z", "b"]
    assert ids(including(repository, "qa/b.yml", "qa/*.yml", "./qa/deep/../a.yml")) == ["own", "b", "z"]


def test_a_fragment_may_lie_elsewhere_in_the_repository(repository: Path) -> None:
    fragment(repository / "shared.yml", "s")
    manifest = including(repository, "../shared.yml")
    assert ids(manifest) == ["own", "s"]
    row = check_manifest(manifest, os.environ).rows[1]
    assert str(check_manifest(manifest, os.environ).manifest.document.locate(row.path)) == "shared.yml:2:5"


def test_what_cannot_be_included(repository: Path, tmp_path: Path) -> None:
    fragment(tmp_path / "outside.yml", "o")
    assert said(including(repository, "../../outside.yml")) == (
        "include: '../../outside.yml' lies outside of the repository"
    )
    assert said(including(repository, "qa/../../../*/*.yml")).endswith("' lies outside of the repository")
    assert said(including(repository, str(tmp_path / "outside.yml"))).endswith("outside.yml' is absolute")
    assert said(including(repository, "*.yml")).startswith("include: e2e/qa-matrix.yml is the manifest itself")
    assert said(including(repository, "qa")) == "include: e2e/qa is a folder: write qa/*.yml"
    assert said(including(repository, "qa/*.yml")) == "include: no file matches 'qa/*.yml'"
    (repository / "e2e" / "qa" / "latin.yml").write_bytes(b"matrix: [{ id: \xfc }]")
    assert "is not UTF-8" in said(including(repository, "qa/*.yml"))


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_are_followed_first(repository: Path, tmp_path: Path) -> None:
    fragment(tmp_path / "outside.yml", "o")
    fragment(repository / "inside.yml", "i")
    qa = repository / "e2e" / "qa"
    (qa / "inside.yml").symlink_to(repository / "inside.yml")
    assert ids(including(repository, "qa/*.yml", "../inside.yml")) == ["own", "i"]
    (qa / "again.yml").symlink_to(repository / "inside.yml")
    assert ids(including(repository, "qa/*.yml")) == ["own", "i"]
    (qa / "out.yml").symlink_to(tmp_path / "outside.yml")
    assert said(including(repository, "qa/*.yml")) == "include: e2e/qa/out.yml lies outside of the repository"
    (qa / "out.yml").unlink()
    (qa / "gone.yml").symlink_to(qa / "nowhere.yml")
    assert "gone.yml" in said(including(repository, "qa/*.yml"))
    (qa / "gone.yml").unlink()
    (qa / "self.yml").symlink_to(qa / "self.yml")
    assert "self.yml" in said(including(repository, "qa/*.yml"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_what_is_no_file_is_not_read(repository: Path) -> None:
    os.mkfifo(repository / "e2e" / "qa" / "pipe.yml")
    assert said(including(repository, "qa/*.yml")) == "include: e2e/qa/pipe.yml is no file"


def plan_of(path: Path, profile: str | None = None) -> PlanResult:
    return make_plan(path, PlanOptions(today=DAY, profile=profile), {}, Inputs())


def test_a_plan_names_each_file_and_reads_builds_from_the_manifests_folder(repository: Path) -> None:
    build = repository / "e2e" / "app.apk"
    with zipfile.ZipFile(build, "w") as archive:
        archive.writestr("AndroidManifest.xml", "")
    fragment(repository / "e2e" / "qa" / "deep" / "a.yml", "app", platform="android", target="{ binary: app.apk }")
    plan = plan_of(including(repository, "qa/**/*.yml")).plan
    assert plan.manifest == "e2e/qa-matrix.yml"
    assert [str(entry.origin) for entry in plan.entries] == ["e2e/qa-matrix.yml:6:5", "e2e/qa/deep/a.yml:2:5"]
    target = plan.entries[1].target
    assert target is not None
    assert (target.kind, target.value) == (TargetKind.BINARY, "app.apk")
    assert [resource.build.path for resource in plan.resources if resource.build] == ["e2e/app.apk"]


def test_a_change_in_a_fragment_changes_the_plan(repository: Path) -> None:
    path = repository / "e2e" / "qa" / "a.yml"
    fragment(path, "a")
    manifest = including(repository, "qa/*.yml")
    first = plan_of(manifest).plan.digest
    assert plan_of(manifest).plan.digest == first
    fragment(path, "a", timeout="5m")
    assert plan_of(manifest).plan.digest != first


PROFILES = """
profiles:
  good: { select: [own] }
  bad: { defaults: { vendor: certyn } }
  worse: { select: [label:none], vars: { a: "{{ env.NONE }}" } }
matrix:
  - { id: own, test_ids: [t] }
  - { id: other, test_ids: [t] }
"""


def test_every_profile_is_checked(repository: Path) -> None:
    manifest = repository / "qa-matrix.yml"
    manifest.write_text(HEAD + PROFILES, "utf-8")
    base, good, bad, worse = check_with_profiles(manifest, {})
    assert (base.problems, good.problems) == ((), ())
    assert all(problem.message.endswith(", with --profile bad") for problem in bad.problems)
    assert any("certyn" in problem.message for problem in bad.problems)
    assert [problem.place.line for problem in worse.problems] == [8, 8]
    assert [entry.id for entry in plan_of(manifest, "good").plan.entries] == ["own"]
    assert len(plan_of(manifest).plan.entries) == 2
