"""What comes from outside: the manifest's file, env files, and words on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from qarunner.app.files import allowed_secrets, duration, find_manifest, overrides, read_manifest, with_env_files
from qarunner.errors import UserError


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository below a folder that has a manifest of its own."""
    (tmp_path / "qa-matrix.yml").write_text("outside")
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    (root / "app" / "src").mkdir(parents=True)
    monkeypatch.chdir(root / "app" / "src")
    return root


def test_a_manifest_that_is_named_is_taken_as_it_is(repository: Path) -> None:
    (repository / "qa-matrix.yml").write_text("root")
    assert find_manifest(Path("other.yml")) == Path("other.yml")


def test_the_nearest_manifest_up_to_the_root_is_found(repository: Path) -> None:
    (repository / "qa-matrix.yaml").write_text("root")
    assert find_manifest(None) == Path("../../qa-matrix.yaml")
    (repository / "qa-matrix.yml").write_text("root")
    assert find_manifest(None) == Path("../../qa-matrix.yml")
    (repository / "app" / "qa-matrix.yaml").write_text("nearer")
    assert find_manifest(None) == Path("../qa-matrix.yaml")
    Path("qa-matrix.yaml").write_text("here")
    assert find_manifest(None) == Path("qa-matrix.yaml")


def test_a_manifest_outside_the_repository_is_not_ours(repository: Path) -> None:
    assert (repository.parent / "qa-matrix.yml").is_file()
    with pytest.raises(UserError, match=r"looked for qa-matrix\.yml and qa-matrix\.yaml here and up to the repository"):
        find_manifest(None)


def test_a_work_tree_has_a_file_for_its_root(repository: Path) -> None:
    (repository / ".git").rmdir()
    (repository / ".git").write_text("gitdir: elsewhere")
    with pytest.raises(UserError, match="no manifest"):
        find_manifest(None)


def test_a_manifest_is_read_as_bytes(tmp_path: Path) -> None:
    path = tmp_path / "m.yml"
    path.write_bytes(b"\xff\r\n")
    assert read_manifest(path) == (path.as_posix(), b"\xff\r\n")


def test_what_is_no_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yml: cannot be read: No such file or directory"):
        read_manifest(tmp_path / "none.yml")
    with pytest.raises(UserError, match="is a folder, not a file"):
        read_manifest(tmp_path)


def env_file(folder: Path, text: str, name: str = ".env") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_env_files_are_read_as_people_know_them(tmp_path: Path) -> None:
    text = "\ufeff# comment\r\nA=1\r\nexport B='two $A words'\r\nC=\"a\\nb\"\r\nD=\r\nE=x # comment\r\nF=${A}\r\n"
    found = with_env_files({}, [env_file(tmp_path, text)])
    assert found == {"A": "1", "B": "two $A words", "C": "a\nb", "D": "", "E": "x", "F": "${A}"}


def test_the_environment_wins_over_files_and_a_later_file_over_an_earlier_one(tmp_path: Path) -> None:
    files = [env_file(tmp_path, "A=1\nB=1\nC=1\n"), env_file(tmp_path, "B=2\nC=2\n", "other.env")]
    environ = {"C": "0"}
    assert with_env_files(environ, files) == {"A": "1", "B": "2", "C": "0"}
    assert environ == {"C": "0"}


def test_env_files_that_cannot_be_read_are_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"A=\xff\n")
    for path, message in (
        (tmp_path / "none", "cannot be read: No such file"),
        (tmp_path / "latin", "is not UTF-8"),
        (env_file(tmp_path, "A=1\nNAME\n"), "'NAME' has no value"),
    ):
        with pytest.raises(UserError, match=message):
            with_env_files({}, [path])


def test_variables_on_the_command_line() -> None:
    assert overrides(["A=1", "B=x=y", "C=", "A=2"]) == {"A": "2", "B": "x=y", "C": ""}
    for word in ("A", "=1", ""):
        with pytest.raises(UserError, match="not of the form K=V"):
            overrides([word])


def test_secrets_are_allowed_by_the_option_and_by_the_variable() -> None:
    assert allowed_secrets({}, []) == frozenset()
    assert allowed_secrets({"QARUNNER_ALLOW_SECRETS": "A, B,,"}, ["C", "D,A"]) == {"A", "B", "C", "D"}


def test_durations_are_read_and_never_zero() -> None:
    assert duration("--timeout", None) is None
    assert duration("--timeout", "1h30m") == 5400
    assert duration("--timeout", "200ms") == 0.2
    for text in ("", "0s", "0ms", "5", "m", "-1s", "1 s", "1m1h", "nan", "inf"):
        with pytest.raises(UserError, match=r"--timeout .*not a duration"):
            duration("--timeout", text)
