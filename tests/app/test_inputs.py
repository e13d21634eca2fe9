"""What comes from outside: the manifest's file, env files, and words on the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from qarunner.app.files import (
    allowed_secrets,
    duration,
    find_manifest,
    named_variables,
    overrides,
    read_env_files,
    read_manifest,
    read_var_files,
    sorted_out,
)
from qarunner.errors import ManifestError, UserError


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


@pytest.mark.skipif(os.name != "posix", reason="there, folders are divided by a backslash")
@pytest.mark.parametrize("name", [r"apps\shop\qa-matrix.yml", r".\qa-matrix.yml", r"apps/shop\qa-matrix.yml"])
def test_another_systems_path_is_written_as_this_one_reads_it(name: str) -> None:
    with pytest.raises(UserError, match="cannot be read") as caught:
        read_manifest(Path(name))
    assert caught.value.hint == f"here, folders are divided by /: {Path(name.replace(chr(92), '/'))}"


def test_what_is_no_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yml: cannot be read: No such file or directory"):
        read_manifest(tmp_path / "none.yml")
    with pytest.raises(UserError, match="is a folder, not a file"):
        read_manifest(tmp_path)


def env_file(folder: Path, text: str, name: str = ".env") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


DECLARED = {"A", "B", "C", "D", "E", "F", "STAGING_URL"}


def from_files(*files: Path) -> dict[str, str]:
    """The values of declared variables that env files give."""
    variables = sorted_out(read_env_files(files), DECLARED, {"DOKSI_API_KEY"})
    assert variables.problems == ()
    return dict(variables.values)


def wrong_lines(*files: Path) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        read_env_files(files)
    assert {problem.source for problem in caught.value.diagnostics} == {None}
    return [str(problem) for problem in caught.value.diagnostics]


def test_env_files_are_read_as_people_know_them(tmp_path: Path) -> None:
    text = "\ufeff# comment\r\nA=1\r\nexport B='two $A words'\r\nC=\"a\\nb\"\r\nD=\r\nE=x # comment\r\nF=${A}\r\n"
    values = from_files(env_file(tmp_path, text))
    assert values == {"A": "1", "B": "two $A words", "C": "a\nb", "D": "", "E": "x", "F": "${A}"}


def test_a_later_file_wins_over_an_earlier_one(tmp_path: Path) -> None:
    files = [env_file(tmp_path, "A=1\nB=1\nC=1\n"), env_file(tmp_path, "B=2\nC=2\n", "other.env")]
    assert from_files(*files) == {"A": "1", "B": "2", "C": "2"}


def test_an_env_file_holds_declared_variables_and_keys_and_nothing_else(tmp_path: Path) -> None:
    path = env_file(tmp_path, "A=1\n\nDOKSI_API_KEY=k3y\n\nSTAGING_ULR=https://x\nLOGIN=pssst\n")
    files = sorted_out(read_env_files([path]), DECLARED, {"DOKSI_API_KEY"})
    assert (files.values, files.keys) == ({"A": "1"}, {"DOKSI_API_KEY": "k3y"})
    assert [(problem.place.line, problem.hint) for problem in files.problems] == [
        (5, "did you mean STAGING_URL?"),
        (6, "declare it under env, or remove the line"),
    ]
    assert "pssst" not in str(files.problems)


@pytest.mark.parametrize(
    "name",
    [
        *("QARUNNER_DOKSI_URL", "QARUNNER_ALLOW_SECRETS", "QARUNNER_VAR_A", "QARUNNER_ENV", "qarunner_env"),
        *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY"),
        *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    ],
)
def test_an_env_file_never_says_where_requests_or_secrets_go(tmp_path: Path, name: str) -> None:
    path = env_file(tmp_path, f"A=1\n{name}=http://evil.example\n")
    assert wrong_lines(path) == [f"{path.as_posix()}:2:1: error: {name} cannot be set in an env file"]


def test_every_line_that_is_no_assignment_is_told_with_its_place_and_without_its_text(tmp_path: Path) -> None:
    text = "# fine\nHOST: pssst\nA=1\n\nPSSST\nB='unterminated\n=pssst\nA B=pssst\n"
    path = env_file(tmp_path, text, "ci.env")
    also = env_file(tmp_path, "-----BEGIN PSSST-----\n", "other.env")
    lines = wrong_lines(path, also)
    assert [item.rpartition("/")[2].partition(": ")[0] for item in lines] == [
        *(f"ci.env:{line}:1" for line in (2, 5, 6, 7, 8)),
        "other.env:1:1",
    ]
    assert all(item.endswith("this line is no assignment") for item in lines)
    assert "pssst" not in str(lines).lower()


def test_files_of_values_that_cannot_be_read_are_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"A=\xff\n")
    for path, message in (
        (tmp_path / "none", "cannot be read: No such file"),
        (tmp_path / "latin", "is not UTF-8"),
        (tmp_path, "is a folder"),
    ):
        for read in (read_env_files, read_var_files):
            with pytest.raises(UserError, match=message):
                read([path])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
def test_a_pipe_is_no_file_of_values_and_nobody_waits_for_its_other_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is no regular file"):
        read_env_files([tmp_path / "pipe"])


# --- --var-file -------------------------------------------------------------------------------------------------------


def var_values(folder: Path, text: str, name: str = "values.yml") -> dict[str, str]:
    return {line.name: line.text for line in read_var_files([env_file(folder, text, name)])}


def test_values_come_from_yaml_and_from_json(tmp_path: Path) -> None:
    expected = {"A": "x", "B": "12", "C": "true", "D": "", "E": "1.5", "F": "on"}
    assert var_values(tmp_path, "# values\nA: x\nB: 12\nC: true\nD: ''\nE: 1.5\nF: on\n") == expected
    text = json.dumps({"A": "x", "B": 12, "C": True, "D": "", "E": 1.5, "F": "on"})
    assert var_values(tmp_path, text, "values.json") == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("B: [[pssst]]", "B: an item of a list is a text, a number, true or false"),
        ("B: { x: pssst }", "B: the value of a variable is a text, a number, true or false"),
        ("B:", "B: the value of a variable is a text, a number, true or false"),
        ("B: 1.10", "B: this number would become 1.1"),
        ("B: 0x1F", "B: this number would become 31"),
        ("A: pssst", "duplicate key 'A'"),
    ],
)
def test_what_is_no_value_is_told_with_its_place_and_without_its_text(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        var_values(tmp_path, f"A: x\n{line}\n")
    (problem,) = caught.value.diagnostics
    assert (problem.place.line, problem.source) == (2, None)
    assert "pssst" not in str(problem)
    assert problem.message == message


# --- words ------------------------------------------------------------------------------------------------------------


def test_variables_on_the_command_line() -> None:
    assert overrides(["A=1", "B=x=y", "C=", "A=2"]) == {"A": "2", "B": "x=y", "C": ""}
    for word in ("A", "=1", ""):
        with pytest.raises(UserError, match="not of the form K=V"):
            overrides([word])


def test_variables_are_named_by_the_option_and_by_the_variable() -> None:
    assert named_variables({}, []).words == ()
    environ = {"QARUNNER_ENV": "A, SHOP_*,,"}
    assert named_variables(environ, ["!SHOP_B", "C,D"]).words == ("A", "SHOP_*", "!SHOP_B", "C", "D")


@pytest.mark.parametrize("word", ["*", "**", "?*", "_*", "!*", "A B", "A-B", "A=pssst", "[A]", "!", "", " , "])
def test_a_word_that_names_nothing_or_everything_is_refused(word: str) -> None:
    with pytest.raises(UserError) as caught:
        named_variables({}, [word])
    assert caught.value.message.startswith("--env")
    assert "pssst" not in f"{caught.value.message}{caught.value.hint}"
    if word.strip(" ,"):
        with pytest.raises(UserError, match="QARUNNER_ENV"):
            named_variables({"QARUNNER_ENV": word}, [])


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
