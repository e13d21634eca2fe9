from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING

import pytest

from qarunner.cli.builds import measurer
from qarunner.engine.uploads import ChangedBuild, open_body
from qarunner.vendors.api import Build, Complaint

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    (root / "qa-matrix.yml").write_text("")
    monkeypatch.chdir(root)
    return root


def refused(root: Path, name: str) -> str:
    found = measurer(root / "qa-matrix.yml")(name)
    assert isinstance(found, Complaint), found
    return found.message


def taken(root: Path, name: str) -> Build:
    found = measurer(root / "qa-matrix.yml")(name)
    assert isinstance(found, Build), found
    return found


def test_a_copy_under_another_name_is_the_same_build(repository: Path) -> None:
    (repository / "a.apk").write_bytes(b"content")
    (repository / "b.apk").write_bytes(b"content")
    assert taken(repository, "a.apk").sha256 == taken(repository, "./b.apk").sha256


def test_a_zip_is_the_same_bytes_for_the_same_content(repository: Path) -> None:
    (repository / "a.apk").write_bytes(b"content")
    bodies = []
    for moment in (1_000_000_000, 1_500_000_000):
        os.utime(repository / "a.apk", (moment, moment))
        with open_body(taken(repository, "a.apk"), zipped=True) as body:
            bodies.append(body.read())
    assert bodies[0] == bodies[1]


def test_only_split_apks_of_a_folder_travel(repository: Path) -> None:
    folder = repository / "build"
    folder.mkdir()
    for name in ("base.apk", "split_config.en.apk", ".env", "output-metadata.json", "other.apk"):
        (folder / name).write_text(name)
    with open_body(taken(repository, "build"), zipped=True) as body, zipfile.ZipFile(body) as archive:
        assert archive.namelist() == ["base.apk", "split_config.en.apk"]


def test_a_build_that_changed_after_the_plan_is_not_sent(repository: Path) -> None:
    (repository / "a.apk").write_bytes(b"content")
    build = taken(repository, "a.apk")
    (repository / "a.apk").write_bytes(b"CONTENT")
    with pytest.raises(ChangedBuild, match="changed after the plan"):
        open_body(build, zipped=True)


def test_what_lies_outside_of_the_repository_is_not_sent(repository: Path) -> None:
    secret = repository.parent / "id_rsa"
    secret.write_text("private")
    (repository / "link.apk").symlink_to(secret)
    folder = repository / "build"
    folder.mkdir()
    (folder / "base.apk").symlink_to(secret)
    for name in ("../id_rsa", str(secret), "link.apk", "build"):
        assert "outside of the repository" in refused(repository, name), name


def test_what_is_no_build_is_refused(repository: Path) -> None:
    (repository / "empty.apk").write_bytes(b"")
    (repository / "folder").mkdir()
    os.mkfifo(repository / "pipe.apk")
    assert "is empty" in refused(repository, "empty.apk")
    assert "holds base.apk" in refused(repository, "folder")
    assert "is no file" in refused(repository, "pipe.apk")
    assert "no such file" in refused(repository, "missing.apk")
