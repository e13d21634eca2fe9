"""A bug is said plainly, and the file about it can be sent to anybody."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from qarunner.cli.main import report_crash

SECRET = "p?ss w/rd-é"
ENVIRON = {
    "DOKSI_API_KEY": "dk-0123456789",
    "MY_PASSWORD": SECRET,
    "DEPLOY": "ghp_0123456789abcdefABCDEF",
    "LANG": "en_US.UTF-8",
    "EMPTY_TOKEN": "",
}


def crash(message: str, environ: dict[str, str] | None = None) -> int:
    try:
        raise ZeroDivisionError(message)  # noqa: TRY301  it must have a traceback
    except ZeroDivisionError as error:
        return report_crash(error, ENVIRON if environ is None else environ)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written() -> str:
    return Path(".qarunner/crash.txt").read_text(encoding="utf-8")


def test_a_bug_says_so_and_exits_with_9(capsys: pytest.CaptureFixture[str]) -> None:
    assert crash("oops") == 9
    err = capsys.readouterr().err
    assert "a bug in qarunner: ZeroDivisionError: oops" in err
    assert ".qarunner/crash.txt" in err
    assert err.endswith("qarunner: exit 9: a bug in qarunner\n")


def test_the_file_tells_where_it_happened_and_with_what() -> None:
    crash("oops")
    assert "test_crash.py" in written()
    assert "ZeroDivisionError: oops" in written()
    assert f"Python {sys.version}" in written()


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        quote(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        repr({"a": SECRET}),
        ENVIRON["DOKSI_API_KEY"],
        ENVIRON["DEPLOY"],
        "⟦secret:PREVIEW_TOKEN⟧",
    ],
)
def test_neither_the_file_nor_the_screen_holds_a_secret(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    crash(f"cannot use {text}!")
    for output in (written(), capsys.readouterr().err):
        assert "cannot use " in output
        assert text not in output
        assert SECRET not in output
        assert "***" in output


def test_variables_that_are_no_secret_stay_readable() -> None:
    crash("the locale is en_US.UTF-8")
    assert "the locale is en_US.UTF-8" in written()


def test_a_variable_that_is_not_utf_8_does_not_hide_the_bug(capsys: pytest.CaptureFixture[str]) -> None:
    value = b"caf\xe9-secret".decode("utf-8", "surrogateescape")
    assert crash(f"odd: {value} \ud83d", {"TOKEN": value}) == 9
    assert "secret" not in written().partition("odd: ")[2]
    assert "exit 9" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_sends_the_file_elsewhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".qarunner").write_text("a file")
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    assert crash("oops") == 9
    files = list(elsewhere.iterdir())
    assert len(files) == 1
    assert str(files[0]) in capsys.readouterr().err
    assert "ZeroDivisionError: oops" in files[0].read_text(encoding="utf-8")


def test_without_any_file_the_details_are_on_the_screen(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".qarunner").write_text("a file")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert crash(f"oops {SECRET}") == 9
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert SECRET not in err
