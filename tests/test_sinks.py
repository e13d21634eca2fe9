"""Every place where text leaves the program, and every file that it writes: hostile text commands nothing there.

The table below has a line for each sink; the last tests look into the code, so that a new one cannot be forgotten.
"""

from __future__ import annotations

import ast
import io
import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from qarunner.app.options import NextCommand
from qarunner.app.reports import ReportTarget, add_step_summary, write
from qarunner.app.runs import Outlook
from qarunner.cli.console import Console, open_console
from qarunner.cli.main import report_crash, run
from qarunner.cli.progress import Lines, Table
from qarunner.cli.result import show, show_detached, show_report
from qarunner.diagnostics import Diagnostic, Place, Severity
from qarunner.engine.schedule.timing import DurationHistory
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Run, advance, fold
from qarunner.errors import ExitCode, ManifestError, UserError
from qarunner.report import FORMATS
from qarunner.report import plan as planned
from qarunner.report.summary import summarise
from qarunner.review import json as review_json
from qarunner.review import markdown as review_markdown
from qarunner.review import text as review_text
from qarunner.review.model import Difference, Setting, Size
from qarunner.review.reasons import Kind, Notice
from qarunner.review.view import Review
from qarunner.text import styled
from qarunner.vendors.api import Case, Outcome, RemoteRun, Step, Verdict
from tests.fictional import entry, plan_of
from tests.test_text import commands_in
from tests.worlds import EPOCH, started

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.engine.state.events import Event
    from qarunner.plan.model import Plan

ROOT = Path(__file__).parent.parent / "qarunner"
SECRET = "hunter2-of-the-pipeline"
EVIL = (
    "\n::stop-commands::x\n\x1b[31m##[error]x\x1b]0;PWNED\x07 \x9b2J ##vso[task.setvariable variable=X]y"
    f"\r::add-mask::z\u2028\u202e\x00 {SECRET} <script>alert(1)</script>"
)
FORBIDDEN = ("\x1b", "\x07", "\x9b", "\x00", "\u2028", "\u202e", SECRET)


def safe(text: str) -> None:
    """Nothing of the hostile text works in this output, and what it says is still there."""
    assert not commands_in(text), commands_in(text)
    assert not [char for char in FORBIDDEN if char in text], text
    assert "stop-commands" in text, "the text itself is told"


# --- a run, a plan and a diff in which everything that is not ours is hostile -----------------------------------------


def hostile_plan() -> Plan:
    row = msgspec.structs.replace(
        entry("a", "plain"), origin=Place(file=f"qa{EVIL}.yml", line=3, column=1), name=EVIL, labels=(EVIL,)
    )
    plan = plan_of(row)
    return msgspec.structs.replace(plan, name=EVIL, notices=(EVIL,), git={"branch": EVIL}, ci={"url": EVIL})


def hostile_events(plan: Plan) -> list[Event]:
    job = plan.jobs[0].id
    step = Step(title=EVIL, verdict=Verdict.FAILED, message=EVIL, screenshot_url=EVIL)
    case = Case(id=EVIL, verdict=Verdict.FAILED, name=EVIL, raw_status=EVIL, url=EVIL, message=EVIL, steps=(step,))
    outcome = Outcome(verdict=Verdict.FAILED, cases=(case,), message=EVIL, url=EVIL, raw_status=EVIL)
    return [
        started(EPOCH, plan),
        ev.Accepted(at=EPOCH + 1, job=job, runs=(RemoteRun(id=EVIL, url=EVIL),)),
        ev.Polled(at=EPOCH + 2, job=job, run=EVIL, note=EVIL),
        ev.Retrying(at=EPOCH + 3, job=job, run=EVIL, message=EVIL, wait_s=1.0),
        ev.RunCancelled(at=EPOCH + 4, job=job, run=EVIL, message=EVIL),
        ev.EntryClosed(at=EPOCH + 5, entry="a", outcome=outcome),
    ]


PLAN = hostile_plan()
OUTLOOK = Outlook(durations=DurationHistory(PLAN, {}))
EVENTS = hostile_events(PLAN)
SUMMARY = summarise(fold(PLAN, EVENTS))
REVIEW = Review(
    file=EVIL,
    base=EVIL,
    wording=EVIL,
    difference=Difference(
        added=(),
        removed=(),
        changed=(),
        settings=(Setting(path=EVIL, before=EVIL, after=EVIL),),
        before=Size(),
        after=Size(runs={EVIL: 1}),
    ),
    notices=(Notice(kind=next(iter(Kind)), message=EVIL, rows=(EVIL,)),),
    warnings=(EVIL,),
)
PROBLEM = Diagnostic(
    code="E299",
    message=EVIL,
    place=Place(f"qa{EVIL}.yml", 14, 5),
    hint=EVIL,
    source=EVIL.replace("\n", " ").replace("\r", " ").replace(SECRET, "x"),
    related=((Place(EVIL, 3, 1), EVIL),),
)
WARNING = msgspec.structs.replace(PROBLEM, severity=Severity.WARNING)
ERROR = UserError(EVIL, hint=EVIL, details=[EVIL, EVIL])


class Streams:
    """A console of one form, and what came out of it."""

    def __init__(self, output: str = "text", *, terminal: bool = False) -> None:
        kind = Terminal if terminal else io.StringIO
        self.out, self.err = kind(), kind()
        self.console = open_console({}, output=output, out=self.out, err=self.err, verbose=True)
        self.console.hide([SECRET])

    @property
    def text(self) -> str:
        return self.out.getvalue() + self.err.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# --- the table of streams ---------------------------------------------------------------------------------------------


def draw(console: Console) -> None:
    """The live table, whose own commands of the terminal are taken away."""
    live = Run.of(PLAN)
    terminal = Terminal()
    drawn = open_console({}, out=terminal, err=terminal)
    drawn.hide([SECRET])
    table = Table(drawn, live, lambda: EPOCH + 60, OUTLOOK)
    try:
        for event in EVENTS[:-1]:
            advance(live, event)
            table.saw(event, live)
        table.uploading(EVIL, 1, 2)
        table.tick(live)
    finally:
        table.close()
    own = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    console.out.write(own)


def annotate(console: Console) -> None:
    console.warn(EVIL)
    console.annotate("error", EVIL, file=EVIL, title=EVIL)


def group(console: Console) -> None:
    """A group of a log, without the command that begins it."""
    err = io.StringIO()
    msgspec.structs.replace(console, err=err, environ={"TF_BUILD": "1"}).fold(EVIL, 0)
    console.out.write(err.getvalue().removeprefix("##[group]"))


def log(console: Console) -> None:
    live, lines = Run.of(PLAN), Lines(console, Run.of(PLAN), lambda: EPOCH, OUTLOOK)
    for event in EVENTS:
        advance(live, event)
        lines.saw(event, live)
    lines.uploading(EVIL, 1, 2**30)
    lines.uploading(EVIL, 2**29, 2**30)


def render_plan(console: Console) -> None:
    console.results(planned.text(PLAN, {}, every_body=True))


def render_review(console: Console) -> None:
    for text, style in review_text.render(REVIEW, every_row=True):
        console.result(styled(text, style))


SINKS: dict[str, Callable[[Console], object]] = {
    "result": lambda console: console.result(EVIL),
    "result, in pieces": lambda console: console.result((EVIL, styled(EVIL, "red"), ":", ":error::x")),
    "results": lambda console: console.results([EVIL, (EVIL, styled(EVIL, "red"))]),
    "note": lambda console: console.note(("a", EVIL)),
    "warn": lambda console: console.warn(styled(EVIL, "bold")),
    "conclude": lambda console: console.conclude(EVIL),
    "end": lambda console: console.end(ExitCode.FAILED, EVIL),
    "stopped": lambda console: console.stopped(ERROR),
    "document": lambda console: console.document(EVIL),
    "report": lambda console: console.report(console.clean(EVIL)),
    "answer": lambda console: console.answer(lambda: {"a": [EVIL]}, [EVIL]),
    "data": lambda console: console.data({"a": [EVIL]}),
    "line": lambda console: console.line({"a": [EVIL]}),
    "json": lambda console: console.json(json.dumps({"a": [EVIL]}, ensure_ascii=False)),
    "failure": lambda console: console.failure(ERROR),
    "problems": lambda console: console.problems([PROBLEM, WARNING]),
    "problems of a manifest": lambda console: console.failure(ManifestError([PROBLEM])),
    "warnings": lambda console: console.warnings([WARNING]),
    "annotate": annotate,
    "safe": lambda console: console.out.write(console.safe(EVIL)),
    "log": log,
    "fold": group,
    "drawn": lambda console: console.out.write(console.drawn((EVIL, styled(EVIL, "red")))),
    "live table": draw,
    "the end of an apply": lambda console: show(console, SUMMARY, Path("runs/r1")),
    "a detached apply": lambda console: show_detached(console, fold(PLAN, EVENTS), SUMMARY, NextCommand(run_id=EVIL)),
    **{f"report as {form}": partial(show_report, summary=SUMMARY, form=form) for form in FORMATS},
    "plan as text": render_plan,
    "plan as Markdown": lambda console: console.document(planned.markdown(PLAN, {}, "last")),
    "diff as text": render_review,
    "diff as Markdown": lambda console: console.document(review_markdown.render(REVIEW)),
    "diff as JSON": lambda console: console.json(review_json.render(REVIEW)),
}


@pytest.mark.parametrize("sink", SINKS)
def test_nothing_hostile_works_in_any_output(sink: str) -> None:
    for output in ("text", "github", "json"):
        streams = Streams(output)
        SINKS[sink](streams.console)
        text = streams.text
        if output == "github":  # our own marks are commands
            own = [line for line in text.splitlines() if re.match(r"::(error|warning)( |::)", line)]
            assert len(own) <= 10
            assert all(len(line) < 1500 and not re.search("[\x00-\x1f\x7f-\x9f]", line) for line in own)
            text = "\n".join(line for line in text.splitlines() if line not in own) or "stop-commands"
        safe(text)
        assert "<script>alert" not in text or "html" not in sink


def test_an_annotation_is_short_whatever_a_vendor_says() -> None:
    """One line of 3 MB was the whole log of a step."""
    streams = Streams("github")
    text = "word " * 600_000
    streams.console.annotate("error", text, file=text, title=text)
    assert 300 < max(map(len, streams.text.splitlines())) < 1500


@pytest.mark.parametrize("sink", SINKS)
def test_nothing_hostile_works_in_a_terminal(sink: str) -> None:
    """There our own colours are the only commands."""
    streams = Streams(terminal=True)
    SINKS[sink](streams.console)
    text = re.sub(r"\x1b\[[0-9;]*m", "", streams.text)
    safe(text)


def test_a_command_that_two_pieces_make_is_none() -> None:
    for pieces in ((":", ":error::x"), ("", "  ", "::error::x"), ("#", "#[error]x"), (styled("##", "red"), "vso[a]b")):
        streams = Streams(terminal=True)
        streams.console.result(pieces)
        assert not commands_in(re.sub(r"\x1b\[[0-9;]*m", "", streams.text))


def test_a_secret_that_two_pieces_make_is_hidden() -> None:
    streams = Streams()
    streams.console.result((SECRET[:9], styled(SECRET[9:], "red")))
    assert SECRET not in streams.text


def test_no_line_is_without_end() -> None:
    for sink in ("result", "note", "failure", "annotate"):
        streams = Streams("github")
        calls: dict[str, Callable[[str], object]] = {
            "result": streams.console.result,
            "note": streams.console.note,
            "failure": lambda text, console=streams.console: console.failure(UserError(text)),  # type: ignore[misc]
            "annotate": lambda text, console=streams.console: console.annotate("error", text),  # type: ignore[misc]
        }
        calls[sink]("x" * 3_200_000)
        assert max(map(len, streams.text.splitlines())) < 11_000


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_hostile_works_in_a_report(form: str, tmp_path: Path) -> None:
    path = tmp_path / "report"
    assert write(SUMMARY, [ReportTarget(format=form, path=path)], Streams().console.clean) == []
    text = path.read_text(encoding="utf-8")
    safe(text)
    assert "<script>alert" not in text or form in {"json", "ctrf", "markdown", "slack"}
    if form in {"json", "ctrf", "slack"}:
        json.loads(text)


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "json"])
def test_no_text_of_a_vendor_is_without_end_in_a_report(form: str, tmp_path: Path) -> None:
    long = "x" * 3_200_000
    case = Case(
        id="t", verdict=Verdict.FAILED, name=long, message=long, steps=(Step(title=long, verdict=Verdict.FAILED),)
    )
    plan = plan_of(entry("a", "plain"))
    closed = ev.EntryClosed(at=EPOCH, entry="a", outcome=Outcome(verdict=Verdict.FAILED, cases=(case,), message=long))
    summary = summarise(fold(plan, [started(EPOCH, plan), closed]))
    path = tmp_path / "report"
    assert write(summary, [ReportTarget(format=form, path=path)]) == []
    assert path.stat().st_size < 200_000


def test_nothing_hostile_works_in_a_step_summary(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    assert add_step_summary({"GITHUB_STEP_SUMMARY": str(path)}, SUMMARY, Streams().console.clean) is None
    safe(path.read_text(encoding="utf-8"))


def test_nothing_hostile_works_in_a_crash_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert report_crash(ValueError(EVIL), {}, Streams().console.clean) == 9
    safe(capsys.readouterr().err)
    safe((tmp_path / ".qarunner" / "crash.txt").read_text(encoding="utf-8"))


def test_nothing_hostile_works_in_what_is_said_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell's glob may put the names of files there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    evil = EVIL.replace("\0", "").replace(SECRET, "x")
    for words in (["apply", f"--{evil}"], [evil], ["validate", evil], ["plan", "--format", evil], ["resume", evil]):
        assert run(words) == 2
        safe("".join(capsys.readouterr()))


# --- nobody goes around the sink --------------------------------------------------------------------------------------

WRITERS = {
    "__main__.py": {"write"},  # an early signal's one word, before a Console can be there
    "signals.py": {"write", "os.write", "os.open", "fdopen"},  # a pipe that a report goes to, so that a signal ends it
    "cli/console.py": {"write", "os.open"},  # the sink itself, and the null device for a stream that is lost
    "cli/main.py": {"echo", "write", "NamedTemporaryFile"},  # the version; a crash, which has no console any more
    "app/doctor.py": {"write"},  # zeros, to see whether the disk of a folder is full
    "app/git.py": {"write_bytes"},  # files of a commit, into a temporary folder of its own
    "cli/commands/review.py": {"write_bytes"},  # likewise
    "paths.py": {"write", "os.open", "fdopen"},  # the one way to write a file
    "engine/io/journal.py": {"os.write", "os.open"},  # lines of a file that `paths` opened, and a look at a lock
    "engine/io/shared_rates.py": {"os.write", "write", "fdopen"},  # likewise
    "engine/io/uploads.py": {"write", "writestr"},  # a zip in memory
}
"""What writes to a stream or to a file, and why it may."""


def calls_that_write(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in {"print", "open"}:
            found.add(node.func.id)
        if isinstance(node.func, ast.Attribute):
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if owner in {"reporting", "self"}:  # reports are written by `paths`, and events by the journal
                continue
            name = f"os.{node.func.attr}" if owner == "os" else node.func.attr
            if name in {"write", "writelines", "echo", "secho", "write_text", "write_bytes", "writestr", "fdopen"}:
                found.add(name)
            if name in {"os.write", "os.open", "os.fdopen", "os.mkdir", "NamedTemporaryFile", "copy2", "copyfile"}:
                found.add(name.removeprefix("os.") if name == "os.fdopen" else name)
    return found


def test_nobody_writes_past_the_sinks() -> None:
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(("emulator/", "testing/")):
            assert calls_that_write(path) <= WRITERS.get(name, set()), name


def test_every_method_of_the_console_that_writes_is_in_the_table() -> None:
    silent = {"live", "hide", "clean", "unfold"}
    public = {name for name in vars(Console) if not name.startswith("_") and callable(getattr(Console, name, None))}
    public -= set(Console.__struct_fields__)
    assert public - silent <= {sink.partition(",")[0] for sink in SINKS}
