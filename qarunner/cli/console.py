"""What a person reads: results on stdout, problems and progress on stderr, colours where they are welcome."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from qarunner.diagnostics import Severity
from qarunner.errors import ManifestError, Unwritten, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from qarunner.diagnostics import Diagnostic

_MOST_ANNOTATIONS = 10
"""Of errors, and of warnings, in a step (docs.github.com: Workflow commands, limits of annotations)."""
OUTPUTS = ("text", "json", "github")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_COMMAND = re.compile(r"^\s*::|##(?=\[|[a-z]+\[)")
_STYLES = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}


@dataclass(slots=True, kw_only=True)
class Console:
    """Two streams and how to write to them."""

    out: TextIO
    err: TextIO
    output: str = "text"
    colour_out: bool = False
    colour_err: bool = False
    quiet: bool = False
    verbose: bool = False
    lost: bool = False
    """Whether stdout has failed, so that what must be read goes to stderr."""

    @property
    def live(self) -> bool:
        """Whether progress can be drawn in place."""
        return self.colour_err and self.err.isatty() and self.output == "text" and not self.quiet

    def result(self, text: str) -> None:
        """A line of the result. Whoever closed the pipe does not want it; the exit code still counts.

        Unwritten where it fails for another reason, such as a full disk.
        """
        try:
            self.out.write(text + "\n")
            self.out.flush()
        except BrokenPipeError:
            silence(self.out)
        except OSError as error:
            silence(self.out)
            self.lost = True
            raise unwritten(error) from error

    def conclude(self, text: str) -> bool:
        """The last line of an apply: on stdout, unless that holds data alone. False if stdout does not take it."""
        if self.output != "json" and not self.lost:
            try:
                self.result(text)
            except Unwritten as error:
                self.warn(f"qarunner: error: {error.message}")
            else:
                return True
        self.warn(text)
        return not self.lost

    def stopped(self, error: UserError) -> None:
        """The last line of an apply that an error ended."""
        found = len(error.diagnostics) if isinstance(error, ManifestError) else 0
        reason = f"{found} {'problem' if found == 1 else 'problems'} in the manifest" if found else error.message
        self.conclude(f"qarunner: exit {int(error.code)}: {inert(reason)}")

    def note(self, text: str) -> None:
        """Progress: on stderr, in one piece."""
        if not self.quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """On stderr, however quiet it is to be. A log that cannot be written must not end an apply."""
        try:
            self.err.write(text + "\n")
            self.err.flush()
        except OSError:
            silence(self.err)

    def style(self, text: str, *styles: str, err: bool = False) -> str:
        if not (self.colour_err if err else self.colour_out):
            return text
        return f"\x1b[{';'.join(_STYLES[style] for style in styles)}m{text}\x1b[0m"

    def failure(self, error: UserError) -> None:
        """A user's error: every problem, or the one line and its hint."""
        if isinstance(error, ManifestError):
            self.problems(error.diagnostics)
            return
        if self.output == "json":
            told = {"message": error.message, "hint": error.hint, "details": list(error.details)}
            self.result(json.dumps({"version": 1, "error": told}))
            return
        if self.output == "github":
            self.result(f"::error::{escaped(error.message)}")
        self.warn(f"qarunner: {self.style('error', 'red', 'bold', err=True)}: {error.message}")
        for line in error.details:
            self.warn(f"    {line}")
        if error.hint:
            self.warn(f"  {self.style('hint', 'cyan', err=True)}: {error.hint}")

    def problems(self, diagnostics: Iterable[Diagnostic]) -> None:
        """All problems, in the chosen form."""
        found = tuple(diagnostics)
        if self.output == "json":
            self.result(json.dumps({"version": 1, "problems": [as_json(each) for each in found]}, indent=2))
            return
        shown = annotated(found) if self.output == "github" else ()
        for each in found:
            if each in shown:
                self.result(annotation(each))
            self.warn(self._problem(each))
        errors = sum(each.severity is Severity.ERROR for each in found)
        if errors > 1:
            self.warn(f"{errors} errors")

    def warnings(self, diagnostics: Iterable[Diagnostic]) -> None:
        """What is no error, on stderr: the result stays one document."""
        for each in diagnostics:
            if self.output == "github":
                self.result(annotation(each))
            self.warn(self._problem(each))

    def _problem(self, found: Diagnostic) -> str:
        colour = "red" if found.severity is Severity.ERROR else "yellow"
        severity = self.style(str(found.severity), colour, "bold", err=True)
        lines = [f"{self.style(str(found.place), 'bold', err=True)}: {severity}: {found.message} [{found.code}]"]
        lines += self._snippet(found)
        lines += [f"  {place}: {text}" for place, text in found.related]
        if found.hint:
            lines.append(f"  {self.style('hint', 'cyan', err=True)}: {found.hint}")
        return "\n".join(lines)

    def _snippet(self, found: Diagnostic) -> Sequence[str]:
        if found.source is None or not found.source.strip():
            return ()
        # A tab is as wide as the terminal likes: the caret copies it, so that it stands below its character.
        before = "".join(char if char == "\t" else " " for char in found.source[: found.place.column - 1])
        caret = self.style("^", "red", "bold", err=True)
        return (f"  {found.place.line:>4} | {found.source}", f"       | {before}{caret}")


def open_console(
    environ: Mapping[str, str],
    *,
    output: str = "text",
    quiet: bool = False,
    verbose: bool = False,
    no_color: bool = False,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> Console:
    """The console for this process. UserError for an unknown form of output."""
    if output not in OUTPUTS:
        raise UserError(f"--output: unknown form {output!r}", hint=f"valid: {', '.join(OUTPUTS)}")
    # A stream that the caller closed is None.
    out, err = out or sys.stdout or _nowhere(), err or sys.stderr or _nowhere()
    for stream in (out, err):
        # A terminal of another encoding gets a question mark, not a traceback.
        if hasattr(stream, "reconfigure"):
            with contextlib.suppress(OSError):  # it flushes: what is full is noticed by the next line
                stream.reconfigure(errors="replace")
    if output == "text" and environ.get("GITHUB_ACTIONS") == "true":
        output = "github"  # the same text, and marks at the manifest's lines
    plain = no_color or bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
    return Console(
        out=out,
        err=err,
        output=output,
        colour_out=not plain and out.isatty(),
        colour_err=not plain and err.isatty(),
        quiet=quiet,
        verbose=verbose,
    )


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def as_json(found: Diagnostic) -> dict[str, object]:
    """A problem as data; the same keys whatever the problem is."""
    return {
        "code": str(found.code),
        "severity": str(found.severity),
        "message": found.message,
        "file": found.place.file,
        "line": found.place.line,
        "column": found.place.column,
        "hint": found.hint,
        "related": [
            {"file": place.file, "line": place.line, "column": place.column, "message": text}
            for place, text in found.related
        ],
    }


def annotated(found: Sequence[Diagnostic]) -> Sequence[Diagnostic]:
    """The first problems of each severity: GitHub drops what is beyond its bound, in silence."""
    kinds = [[each for each in found if each.severity is severity] for severity in Severity]
    return [each for kind in kinds for each in kind[:_MOST_ANNOTATIONS]]


def annotation(found: Diagnostic) -> str:
    """A problem as a workflow command of GitHub, which marks the line in the pull request."""
    text = found.message + (f" ({found.hint})" if found.hint else "")
    where = f"file={escaped(found.place.file, value=True)},line={found.place.line},col={found.place.column}"
    return f"::{found.severity} {where},title={found.code}::{escaped(text)}"


def escaped(text: str, *, value: bool = False) -> str:
    """Text inside a workflow command, so that nobody's message can start a command of its own."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if value else text


def inert(text: str) -> str:
    """Somebody else's text as one line that no terminal and no CI system takes for a command."""
    line = _UNPRINTABLE.sub(" ", text)
    return _COMMAND.sub(lambda match: " ".join(match[0]), line)


def unwritten(error: OSError) -> Unwritten:
    return Unwritten(f"stdout: cannot be written: {error.strerror or error}")


def silence(stream: TextIO) -> None:
    """What is left in the buffer would fail again at the interpreter's exit, and change the exit code."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
