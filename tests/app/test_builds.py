from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING

import pytest

from qarunner.app.files import measurer
from qarunner.engine.io.uploads import BuildChanged, open_body
from qarunner.vendors.api import Build, BuildRules, Complaint

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    (root / "qa-matrix.yml").write_text("")
    monkeypatch.chdir(root)
    return root


DOKSI = BuildRules(endings=(".apk", ".zip"), folders=True, zips_of_apks=True)


def apk(path: Path, content: str = "content") -> None:
    """The smallest file that is an APK as far as anybody here looks, equal for equal content."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("AndroidManifest.xml"), content)


def refused(root: Path, name: str, rules: BuildRules | None = None) -> str:
    measured = measurer(root / "qa-matrix.yml")(name, rules)
    assert isinstance(measured, Complaint), measured
    return measured.message


def taken(root: Path, name: str, rules: BuildRules | None = None) -> Build:
    measured = measurer(root / "qa-matrix.yml")(name, rules)
    assert isinstance(measured, Build), measured
    return measured


def test_a_copy_under_another_name_is_the_same_build(repository: Path) -> None:
    apk(repository / "a.apk")
    apk(repository / "b.apk")
    assert taken(repository, "a.apk").sha256 == taken(repository, "./b.apk").sha256


def test_a_zip_is_the_same_bytes_for_the_same_content(repository: Path) -> None:
    apk(repository / "a.apk")
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
        apk(folder / name, name)
    with open_body(taken(repository, "build"), zipped=True) as body, zipfile.ZipFile(body) as archive:
        assert archive.namelist() == ["base.apk", "split_config.en.apk"]


def test_a_build_that_changed_after_the_plan_is_not_sent(repository: Path) -> None:
    apk(repository / "a.apk")
    build = taken(repository, "a.apk")
    apk(repository / "a.apk", "CONTENT")
    with pytest.raises(BuildChanged, match="changed after the plan"):
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


def test_what_is_no_apk_is_found_out_before_it_is_sent(repository: Path) -> None:
    (repository / "text.apk").write_text("not a zip")
    with zipfile.ZipFile(repository / "other.apk", "w") as archive:
        archive.writestr("Info.plist", "")
    assert "it is no APK, which would be a zip" in refused(repository, "text.apk")
    assert "it holds no AndroidManifest.xml" in refused(repository, "other.apk")
    folder = repository / "build"
    folder.mkdir()
    apk(folder / "base.apk")
    taken(repository, "build", DOKSI)
    (folder / "split_config.en.apk").write_text("not a zip")
    assert "split_config.en.apk in it is no APK" in refused(repository, "build", DOKSI)


@pytest.mark.parametrize(
    ("members", "fine"),
    [
        (("app.apk",), True),
        (("base.apk", "split_config.en.apk"), True),
        (("base.apk", "readme.txt"), False),
        (("one.apk", "two.apk"), False),
        (("readme.txt",), False),
        ((), False),
    ],
)
def test_a_zip_for_doksi_holds_an_app_and_nothing_else(repository: Path, members: tuple[str, ...], fine: bool) -> None:  # noqa: FBT001  a case
    with zipfile.ZipFile(repository / "app.zip", "w") as archive:
        for name in members:
            archive.writestr(name, "x")
    if fine:
        taken(repository, "app.zip", DOKSI)
    else:
        assert "a zip has to hold one .apk" in refused(repository, "app.zip", DOKSI)
    taken(repository, "app.zip", BuildRules(endings=(".zip",)))


def test_a_build_that_is_too_large_is_refused_before_it_is_read(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qarunner.engine.io.uploads.measure", None)
    with (repository / "app.zip").open("wb") as file:
        file.truncate(2**30 + 1)  # sparse
    most = BuildRules(endings=(".zip",), max_bytes=2**30)
    assert "1073741825 bytes, at most 1073741824 bytes are taken" in refused(repository, "app.zip", most)
    less = BuildRules(endings=(".zip",), max_bytes=2**29)
    assert "1024 MiB, at most 512 MiB are taken" in refused(repository, "app.zip", less)
