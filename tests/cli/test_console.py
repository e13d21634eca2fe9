"""What a person, a program and GitHub read of problems; and what a closed pipe changes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from qarunner.cli.command_line import overview
from qarunner.cli.console import escaped, open_console
from qarunner.diagnostics import Diagnostic, Place, Severity
from qarunner.errors import ManifestError, RunFolderError, UserError
from qarunner.text import inert, styled

if TYPE_CHECKING:
    from qarunner.cli.console import Console
    from qarunner.text import Line

FIRST = Diagnostic(
    code="unknown-vendor",
    message="unknown vendor 'doski'",
    place=Place("qa-matrix.yml", 14, 13),
    hint="did you mean 'doksi'?",
    source="    vendor: doski",
    related=((Place("qa-matrix.yml", 3, 1), "the first is here"),),
)
WARNING = Diagnostic(code="old", message="quarantine ends soon", place=Place("b.yml", 1, 1), severity=Severity.WARNING)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(console: Console) -> tuple[str, str]:
    assert isinstance(console.out, io.StringIO)
    assert isinstance(console.err, io.StringIO)
    return console.out.getvalue(), console.err.getvalue()


def quiet_streams(output: str = "text", *, quiet: bool = False) -> Console:
    return open_console({}, output=output, quiet=quiet, out=io.StringIO(), err=io.StringIO())


def test_a_problem_shows_its_line_and_a_caret_below_the_column() -> None:
    console = quiet_streams()
    console.problems([FIRST])
    out, err = written(console)
    assert not out
    assert err == (
        "qa-matrix.yml:14:13: error: unknown vendor 'doski' [unknown-vendor]\n"
        "    14 |     vendor: doski\n"
        "       |             ^\n"
        "  qa-matrix.yml:3:1: the first is here\n"
        "  hint: did you mean 'doksi'?\n"
    )


def test_the_caret_stands_below_its_character_whatever_a_tab_is() -> None:
    console = quiet_streams()
    console.problems([Diagnostic(code="tab", message="a tab", place=Place("m.yml", 2, 5), source="\ta:\tx"), WARNING])
    snippet, caret = written(console)[1].splitlines()[1:3]
    assert caret.partition("|")[2] == " \t  \t^"
    for width in (1, 4, 8):
        lines = [line.partition("|")[2].expandtabs(width) for line in (snippet, caret)]
        assert lines[0][lines[1].index("^")] == "x"


def test_errors_are_counted_and_warnings_are_not() -> None:
    console = quiet_streams()
    console.problems([FIRST, WARNING, FIRST])
    assert written(console)[1].endswith(
        "b.yml:1:1: warning: quarantine ends soon [old]\n" + written(console)[1].split("[old]\n")[1]
    )
    assert written(console)[1].endswith("\n2 errors\n")


def test_problems_as_json_are_one_document_on_stdout() -> None:
    console = quiet_streams("json")
    console.failure(ManifestError([FIRST, WARNING]))
    out, err = written(console)
    assert not err
    assert json.loads(out)["problems"][0] == {
        "code": "unknown-vendor",
        "severity": "error",
        "message": "unknown vendor 'doski'",
        "file": "qa-matrix.yml",
        "line": 14,
        "column": 13,
        "hint": "did you mean 'doksi'?",
        "related": [{"file": "qa-matrix.yml", "line": 3, "column": 1, "message": "the first is here"}],
    }


def test_other_errors_are_json_too() -> None:
    console = quiet_streams("json")
    console.failure(RunFolderError("no run", hint="look elsewhere"))
    assert json.loads(written(console)[0]) == {
        "version": 1,
        "error": {"message": "no run", "hint": "look elsewhere", "details": []},
    }


def test_problems_mark_their_lines_on_github() -> None:
    console = quiet_streams("github")
    console.problems([FIRST])
    assert written(console)[0] == (
        "::error file=qa-matrix.yml,line=14,col=13,title=unknown-vendor::"
        "unknown vendor 'doski' (did you mean 'doksi'?)\n"
    )
    assert "qa-matrix.yml:14:13: error:" in written(console)[1]


def test_github_gets_no_more_problems_than_it_shows() -> None:
    console = quiet_streams("github")
    console.problems(
        replace(problem, place=Place("m.yml", line, 1)) for line in range(1, 30) for problem in (FIRST, WARNING)
    )
    out, err = written(console)
    assert (out.count("::error "), out.count("::warning ")) == (10, 0)
    assert err.count("m.yml:") == 2 * 29


def test_nobodys_text_starts_a_command_of_github() -> None:
    evil = Diagnostic(code="x", message="100%\r\n::stop-commands::t", place=Place("a,b:c\n::x.yml", 1, 2))
    console = quiet_streams("github")
    console.problems([evil])
    mark = "::error file=a%2Cb%3Ac %3A%3Ax.yml,line=1,col=2,title=x::100%25 ::stop-commands::t\n"
    assert written(console)[0] == mark
    console = quiet_streams("github")
    console.failure(UserError("bad\n::error::x"))
    assert written(console)[0] == "::error::bad ::error::x\n"
    assert escaped("%0A") == "%250A"


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("a plain message: 50% of x::y", "a plain message: 50% of x::y"),
        ("one\n::error::two", "one ::error::two"),
        ("  ::add-mask::x", ": :add-mask::x"),
        ("see ##vso[task.setvariable]x and ##[group]", "see # #vso[task.setvariable]x and # #[group]"),
        ("\x1b[2J\x9b1mred\x07\r\n\u2028end", " [2J 1mred end"),
        ("# heading, ## heading", "# heading, ## heading"),
    ],
)
def test_somebody_elses_text_is_one_line_that_commands_nothing(text: str, harmless: str) -> None:
    shown = inert(text)
    assert shown.split() == harmless.split()
    assert not shown.lstrip().startswith("::")
    assert shown.isprintable()


def coloured(console: Console) -> tuple[str, str]:
    console.result(("a ", styled("x", "red")))
    console.warn(styled("x", "bold"))
    return written(console)


def test_colours_are_for_terminals_alone() -> None:
    assert coloured(open_console({}, out=Terminal(), err=Terminal())) == (
        "a \x1b[31mx\x1b[0m\n",
        "\x1b[1mx\x1b[0m\n",
    )
    for environ, color, kind in (
        ({"NO_COLOR": "1"}, "auto", Terminal),
        ({"TERM": "dumb"}, None, Terminal),
        ({}, "never", Terminal),
        ({}, None, io.StringIO),
    ):
        console = open_console(environ, color=color, out=kind(), err=kind())
        assert coloured(console) == ("a x\n", "x\n")
        assert console.live == (kind is Terminal and "TERM" not in environ), "a table needs no colours"
    assert open_console({"NO_COLOR": ""}, out=Terminal(), err=Terminal()).colour_out
    asked_for = open_console({"NO_COLOR": "1"}, color="always", out=io.StringIO(), err=io.StringIO())
    assert coloured(asked_for) == ("a \x1b[31mx\x1b[0m\n", "\x1b[1mx\x1b[0m\n")
    assert not asked_for.live


@pytest.mark.parametrize("color", ["always", "never"])
@pytest.mark.parametrize(
    "unsafe",
    ["token s3cr3t-value-1234", "s3cr3t%2Dvalue-1234", "::error::x", "a\tb", "a\nb", "⟦secret:X⟧", "x" * 20_000],
)
def test_lines_that_are_written_together_are_those_that_are_written_alone(unsafe: str, color: str) -> None:
    consoles = [open_console({}, color=color, out=io.StringIO(), err=io.StringIO()) for _ in range(2)]
    lines: list[Line] = [
        styled("first", "bold"),
        "a:",
        ":b",
        unsafe,
        styled(unsafe, "red"),
        "s3cr3t-va",
        "lue-1234",
        "last",
    ]
    for console in consoles:
        console.hide(["s3cr3t-value-1234"])
    consoles[0].results(lines)
    for line in lines:
        consoles[1].result(line)
    assert written(consoles[0]) == written(consoles[1])
    assert "s3cr3t-value-1234" not in written(consoles[0])[0]


def test_a_form_that_was_asked_for_wins_over_one_that_is_detected() -> None:
    github = {"GITHUB_ACTIONS": "true"}
    assert [open_console(github, output=form).output for form in (None, "text", "json")] == ["github", "text", "json"]
    assert open_console({}).output == "text"


def test_each_stream_has_its_own_colours() -> None:
    assert coloured(open_console({}, out=io.StringIO(), err=Terminal())) == ("a x\n", "\x1b[1mx\x1b[0m\n")


@pytest.mark.parametrize(
    ("environ", "color", "wanted"),
    [
        ({"FORCE_COLOR": "1"}, "auto", True),
        ({"CLICOLOR_FORCE": "1"}, "auto", True),
        ({"FORCE_COLOR": "0"}, "auto", False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, "auto", False),
        ({"NO_COLOR": "1"}, "always", True),
        ({"FORCE_COLOR": "1"}, "never", False),
        ({"GITLAB_CI": "true"}, "auto", True),
        ({"GITHUB_ACTIONS": "true"}, "auto", True),
        ({"BUILDKITE": "true"}, "auto", True),
        ({"GITLAB_CI": "true", "NO_COLOR": "1"}, "auto", False),
        ({"JENKINS_URL": "x", "CI": "true"}, "auto", False),
    ],
)
def test_a_pipe_has_colours_where_its_reader_shows_them(environ: dict[str, str], color: str, *, wanted: bool) -> None:
    console = open_console(environ, output="text", color=color, out=io.StringIO(), err=io.StringIO())
    assert (console.colour_out, console.colour_err) == (wanted, wanted)


def test_a_file_that_is_kept_has_no_colours_of_a_log(tmp_path: Path) -> None:
    with (tmp_path / "out.txt").open("w", encoding="utf-8") as out:
        console = open_console({"GITLAB_CI": "true"}, out=out, err=io.StringIO())
        assert (console.colour_out, console.colour_err) == (False, True)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437"])
def test_marks_can_be_told_apart_in_every_encoding(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    open_console({}, out=stream, err=stream).result("✓ ✗ ↻ · → …")
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    parts = buffer.getvalue().decode(encoding).split()
    assert "?" not in parts
    assert len(set(parts)) == 6
    assert parts[:3] == ["+", "x", "~"]


def test_progress_is_drawn_in_place_only_where_somebody_looks() -> None:
    def live(output: str = "text", *, quiet: bool = False) -> bool:
        return open_console({}, output=output, quiet=quiet, out=Terminal(), err=Terminal()).live

    assert live()
    assert not live("json")
    assert not live("github")
    assert not live(quiet=True)


def test_quiet_hides_notes_and_nothing_else() -> None:
    console = quiet_streams(quiet=True)
    console.note("note")
    console.warn("warning")
    console.result("result")
    console.failure(UserError("wrong", hint="do it right"))
    assert written(console) == ("result\n", "warning\nqarunner: error: wrong\n  hint: do it right\n")


PROGRAM = """
import os, sys
from qarunner.cli.console import open_console
console = open_console(os.environ)
sys.stdin.read()
for _ in range(3):
    console.result("x")
    console.note("y")
sys.exit(7)
"""


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_a_reader_that_went_away_does_not_change_the_exit_code(closed: str) -> None:
    words = [sys.executable, "-c", PROGRAM]
    pipe = subprocess.PIPE
    # Buffered, as in a user's shell: what stays in a buffer fails again at the interpreter's exit, with code 120.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        gone = {"stdout": [process.stdout], "stderr": [process.stderr], "both": [process.stdout, process.stderr]}
        for stream in gone[closed]:
            stream.close()
        process.stdin.close()
        left = process.stderr if closed == "stdout" else process.stdout
        text = "" if closed == "both" else left.read()
    assert process.returncode == 7
    assert "Traceback" not in text
    assert "BrokenPipe" not in text


def shell(words: str) -> subprocess.CompletedProcess[str]:
    """Python, started by a shell that can close streams and send them anywhere."""
    return subprocess.run(["sh", "-c", f'"{sys.executable}" {words}'], capture_output=True, text=True, check=False)


def test_streams_that_the_caller_closed_are_no_error() -> None:
    code = PROGRAM.replace("sys.stdin.read()", "")
    done = subprocess.run(
        ["sh", "-c", f"\"{sys.executable}\" -c '{code}' >&- 2>&-"], check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 7


def test_a_log_on_a_full_disk_does_not_end_an_apply() -> None:
    code = "import os\nfrom qarunner.cli.console import open_console\nopen_console(os.environ).note('x')\nprint('on')"
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "{code}" 2>/dev/full'], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "on\n")


def test_the_last_line_after_an_error_is_one_that_fits() -> None:
    console = quiet_streams()
    console.stopped(UserError("a route\n" + "x" * 760))
    (line,) = written(console)[0].splitlines()
    assert line.startswith("qarunner: exit 2: a route xxx")
    assert len(line) == 100


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_reports_in_another_encoding_tell_passed_from_failed(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    open_console({}, out=stream, err=io.StringIO()).document("✅ ❌ \u26a0\ufe0f 🔁 ⏭ ▁▄█")
    assert stream.buffer.getvalue().decode(encoding).split() == ["+", "x", "!", "~", "-", "_-#"]


@pytest.mark.parametrize("columns", [60, 80, None])
def test_the_help_fits_a_terminal_and_names_the_documents_that_are_there(columns: int | None) -> None:
    *lines, documents = overview(columns)
    assert max(map(len, lines)) <= max(80, columns or 100), "an example is not broken"
    assert (Path(documents.split()[0]) / "running.md").is_file()
