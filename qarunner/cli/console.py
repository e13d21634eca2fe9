"""What a person reads: results on stdout, problems and progress on stderr, colours where they are welcome.

Every text passes here, in pieces: what is not our own commands nothing, and no line holds a secret that is known.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from qarunner.diagnostics import Diagnostic, Severity
from qarunner.errors import ExitCode, ManifestError, Unwritten, UserError
from qarunner.paths import repository_root
from qarunner.secret import Scrubber, mask
from qarunner.text import (
    MOST,
    Quoted,
    Styled,
    broken,
    cleaned,
    cut,
    fitted,
    inert,
    inert_json,
    inert_lines,
    inert_source,
    is_plain,
    pieces_of,
    plain,
    plural,
    record,
    styled,
    to_json,
    without_command,
)

if TYPE_CHECKING:
    from qarunner.text import Line, Piece


_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""A terminal that knows these shows a frame at once; others ignore them."""
_UP, _TO_LINE_END, _TO_SCREEN_END = "\x1b[{}A", "\x1b[K", "\x1b[J"


class Screen:
    """A block of lines. The cursor stands below it between two frames and is never hidden: a kill leaves no trace."""

    def __init__(self, stream: TextIO, size: Callable[[], tuple[int, int]] | None = None) -> None:
        self._stream = stream
        self.size = size or (lambda: size_of(stream))
        """Columns and rows of the window as it is now."""
        self._lines: list[tuple[str, int]] = []
        """What is drawn now, each line with its width in columns."""

    def draw(self, lines: Sequence[tuple[str, int]]) -> None:
        """Replaces the block. Each line comes with its width, since its text may hold colours."""
        # A line that grew shorter leaves its end behind, and a block that grew shorter its lines.
        body = "".join(f"{text}{_TO_LINE_END}\n" for text, _ in lines)
        self._write(f"{_BEGIN}{self._home()}{body}{_TO_SCREEN_END}{_END}")
        self._lines = list(lines)

    def clear(self) -> None:
        """Takes the block away, row by row: what is cleared from the first row on, tmux keeps as if it scrolled by."""
        if self._lines:
            blank = f"{_TO_LINE_END}\n" * min(self._rows(), self.size()[1] - 1)
            self._write(f"{self._home()}{blank}{self._home()}{_TO_LINE_END}")
            self._lines = []

    @contextlib.contextmanager
    def above(self) -> Iterator[None]:
        """What is written to the terminal in here stands above the block."""
        lines = self._lines
        self.clear()
        try:
            yield
        finally:
            if lines:
                self.draw(lines)

    def _home(self) -> str:
        """Leads to the block's first row."""
        rows = self._rows()
        return "\r" + (_UP.format(rows) if rows else "")

    def _rows(self) -> int:
        """How many rows the block takes: a window that became narrower has broken its lines into several."""
        columns = self.size()[0]
        return sum(max(1, -(-width // columns)) for _, width in self._lines)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a terminal that went away must not end an apply
            self._stream.write(text)
            self._stream.flush()


def size_of(stream: TextIO) -> tuple[int, int]:
    """Columns and rows of a terminal's window."""
    with contextlib.suppress(OSError, ValueError):
        size = os.get_terminal_size(stream.fileno())
        if size.columns > 0 and size.lines > 0:
            return size
    return shutil.get_terminal_size()


VERSION = 1
"""Of the documents for programs."""
ANNOTATIONS = 10
"""Of a step: GitHub drops what is beyond its bound, in silence (docs.github.com: Workflow commands)."""
_LONGEST_ANNOTATION = 300
_LAST_LINE = 100
_BLOCK = 1000
"""Lines of a result that are written at a time."""
"""Columns of the last line after an error, whose whole text stands above it."""
_LONGEST_SOURCE = 5000
_SECTION = "qarunner"
_CI_WITH_COLOURS = ("GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "TF_BUILD")
"""Their logs show colours, although a job writes into a pipe."""
_STYLES = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}


class Console(Struct, kw_only=True):
    """Two streams and how to write to them."""

    out: TextIO
    err: TextIO
    environ: Mapping[str, str] = field(default_factory=dict)
    output: str = "text"
    colour_out: bool = False
    colour_err: bool = False
    quiet: bool = False
    verbose: bool = False
    workspace: Path | None = None
    """The folder that GitHub takes for the root of an annotation's file."""
    screen: Screen | None = None
    """What is drawn in place just now: everything else is written above it."""
    lost: bool = False
    """Whether stdout has failed, so that what must be read goes to stderr."""
    _hidden: dict[str, str] = field(default_factory=dict)
    _scrubber: Scrubber | None = None
    _annotated: dict[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Console({self.output})"  # without what it hides

    @property
    def live(self) -> bool:
        """Whether progress can be drawn in place."""
        able = self.err.isatty() and self.environ.get("TERM") != "dumb" and takes_commands(self.err)
        return able and self.output == "text" and not self.quiet

    @property
    def columns(self) -> int | None:
        """How wide a line of the result may be; None where it goes to no terminal."""
        return _columns(self.out)

    @property
    def columns_of_log(self) -> int | None:
        """The same of stderr."""
        return self.screen.size()[0] if self.screen is not None else _columns(self.err)

    # --- hidden values ------------------------------------------------------------------------------------------------

    def hide(self, values: Iterable[str]) -> None:
        """From now on no output shows these values. Whether they may be sent is another question."""
        new = {value for value in values if value} - set(self._hidden.values())
        if new:
            first = len(self._hidden)
            self._hidden |= {f"hidden_{number}": value for number, value in enumerate(sorted(new), first)}
            self._scrubber = Scrubber(self._hidden)

    def clean(self, text: str) -> str:
        """A text without the values that are hidden, and without placeholders."""
        return mask(self._scrubber(text) if self._scrubber is not None else text)

    def safe(self, text: str) -> str:
        """A text for one line of whatever draws by itself on stderr, with the marks that this has."""
        return _encodable(self.clean(inert(self.clean(text))), self.err)

    @property
    def ellipsis(self) -> str:
        """What stands for text that was cut: the streams' other mark for it is wider."""
        return max((_encodable("…", stream) for stream in (self.out, self.err)), key=len)

    # --- lines and documents ------------------------------------------------------------------------------------------

    def result(self, line: Line) -> None:
        """A line of the result. Whoever closed the pipe does not want it; the exit code still counts.

        Unwritten where it fails for another reason, such as a full disk.
        """
        self.results([line])

    def results(self, lines: Iterable[Line]) -> None:
        """Lines of the result, many of them written at a time."""
        remaining, columns = iter(lines), self.columns
        while block := list(islice(remaining, _BLOCK)):
            self._write("\n".join(self._shown_together(block, columns)))

    def document(self, text: str) -> None:
        """A result of many lines."""
        self.report(self.clean(text))

    def report(self, text: str) -> None:
        """The same of a text whose parts were cleaned one by one: a secret may be called like an element of XML."""
        self._write(inert_lines(text).rstrip("\n"))

    def answer(self, data: Callable[[], Mapping[str, object]], lines: Iterable[Line]) -> None:
        """A command's result in the form that was asked for: one document for programs, or lines for people."""
        if self.output == "json":
            self.data({"version": VERSION, **data()})
        else:
            self.results(lines)

    def data(self, data: object) -> None:
        """A result for programs: one JSON document."""
        self._write(to_json(data, self.clean))

    def line(self, data: object) -> None:
        """A document in one line, one of many."""
        self._write(to_json(data, self.clean, indent=None))

    def json(self, text: str) -> None:
        """JSON that was made elsewhere, shown to the last character unless it holds a hidden value."""
        data = json.loads(text) if self._scrubber is not None else None
        if self._scrubber is not None and cleaned(data, self._scrubber) != data:
            self.data(data)
        else:
            self._write(inert_json(text).rstrip("\n"))

    def _write(self, text: str) -> None:
        try:
            with self._above_screen():
                self.out.write(text + "\n")
                self.out.flush()
        except BrokenPipeError:
            silence(self.out)
        except OSError as error:
            silence(self.out)
            self.lost = True
            raise unwritten(error) from error

    def conclude(self, line: Line, instead: Line | None = None) -> bool:
        """The last line of an apply: on stdout, unless that holds data alone. False if stdout does not take it.

        `instead` is what stderr says of a run that was to end well, and whose stdout is lost.
        """
        if self.output != "json" and not self.lost:
            try:
                self.result(line)
            except Unwritten as error:
                self.warn(f"qarunner: error: {error.message}")
            else:
                return True
        self.warn(line if instead is None or not self.lost else instead)
        return not self.lost

    def end(self, code: ExitCode, words: str) -> ExitCode:
        """The last line of a command that has no gate. Where stdout is lost, the code of a good end is another one."""
        without = ExitCode.UNWRITTEN if code is ExitCode.OK else code
        line = f"qarunner: exit {int(code)}: {words}"
        taken = self.conclude(line, f"qarunner: exit {int(without)}: {words}; stdout cannot be written")
        return code if taken else without

    def stopped(self, error: UserError) -> None:
        """The last line of an apply that an error ended."""
        count = len(error.diagnostics) if isinstance(error, ManifestError) else 0
        reason = f"{plural(count, 'problem')} in the manifest" if count else error.message
        self.conclude(fitted(f"qarunner: exit {int(error.code)}: {inert(self.clean(reason))}", _LAST_LINE))

    def note(self, line: Line) -> None:
        """Progress: on stderr, in one piece."""
        if not self.quiet:
            self.warn(line)

    def warn(self, line: Line) -> None:
        """On stderr, however quiet it is to be. A log that cannot be written must not end an apply."""
        self._log(self._shown(line, colour=self.colour_err, columns=self.columns_of_log))

    def _log(self, text: str) -> None:
        try:
            with self._above_screen():
                self.err.write(text + "\n")
                self.err.flush()
        except OSError:
            silence(self.err)

    def _above_screen(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self.screen is None else self.screen.above()

    def drawn(self, line: Line) -> str:
        """A line of what is drawn in place."""
        return self._shown(line, colour=self.colour_err)

    # --- groups of a log ----------------------------------------------------------------------------------------------

    def fold(self, title: str, at: float) -> None:
        """Begins a group of lines that the CI system folds, if it knows groups. `at` is seconds since the epoch."""
        title = inert(self.clean(title), _LONGEST_ANNOTATION)
        if self.environ.get("GITHUB_ACTIONS") == "true":
            self._log(f"::group::{escaped(title)}")
        elif self.environ.get("GITLAB_CI"):
            self._log(f"\x1b[0Ksection_start:{int(at)}:{_SECTION}[collapsed=true]\r\x1b[0K{title}")
        elif self.environ.get("TF_BUILD"):
            self._log(f"##[group]{title}")

    def unfold(self, at: float) -> None:
        """Ends the group."""
        if self.environ.get("GITHUB_ACTIONS") == "true":
            self._log("::endgroup::")
        elif self.environ.get("GITLAB_CI"):
            self._log(f"\x1b[0Ksection_end:{int(at)}:{_SECTION}\r\x1b[0K")
        elif self.environ.get("TF_BUILD"):
            self._log("##[endgroup]")

    def _shown_together(self, lines: Sequence[Line], columns: int | None) -> Iterable[str]:
        """Many lines of the result. Almost always nothing in any of them has to be changed: that is asked of all."""
        if columns is None and tuple not in map(type, lines):
            texts = [line.text if isinstance(line, Styled) else plain(line) for line in lines]
            # A hidden value that stands in one line stands in the lines together, too.
            whole = "\n".join(texts)
            if max(map(len, texts)) <= MOST and is_plain("".join(texts)) and self.clean(whole) == whole:
                return (_coloured(piece) for (piece,) in map(pieces_of, lines)) if self.colour_out else texts
        return [self._shown(line, colour=self.colour_out, columns=columns) for line in lines]

    def _shown(self, line: Line, *, colour: bool, columns: int | None = None) -> str:
        """`columns`: the width of a terminal, where words are not to be broken in two."""
        pieces = self._safe_pieces(line)
        if columns is not None:
            pieces = broken(pieces, columns)
        return "".join(map(_coloured, pieces)) if colour else plain(pieces)

    def _safe_pieces(self, line: Line) -> tuple[Piece, ...]:
        """Every piece by itself, and then the line that they make together."""
        pieces = pieces_of(line)
        if len(pieces) == 1 and len(text := plain(line)) <= MOST and is_plain(text) and self.clean(text) == text:
            return pieces
        pieces = tuple(map(self._safe_piece, pieces))
        whole = plain(pieces)
        safe = self.clean(without_command(cut(whole, MOST)))
        return pieces if safe == whole else (safe,)

    def _safe_piece(self, piece: Piece) -> Piece:
        if isinstance(piece, str):
            return inert(self.clean(piece))
        text = self.clean(piece.text)
        return replace(piece, text=inert_source(text) if isinstance(piece, Quoted) else inert(text))

    # --- errors -------------------------------------------------------------------------------------------------------

    def failure(self, error: UserError) -> None:
        """A user's error: every problem, or the one line and its hint."""
        if isinstance(error, ManifestError):
            self.problems(error.diagnostics)
            return
        if self.output == "json":
            self.data({"version": VERSION, "error": record(error, "message", "hint", "details")})
            return
        self.annotate("error", error.message)
        self.warn(("qarunner: ", styled("error", "red", "bold"), f": {error.message}"))
        for line in error.details:
            self.warn(f"    {line}")
        if error.hint:
            self.warn(("  ", styled("hint", "cyan"), f": {error.hint}"))

    def problems(self, diagnostics: Iterable[Diagnostic]) -> None:
        """All problems, in the chosen form."""
        all_problems = tuple(diagnostics)
        if self.output == "json":
            self.data({"version": VERSION, "problems": [as_json(problem) for problem in all_problems]})
            return
        self.warnings(all_problems)
        errors = sum(problem.severity is Severity.ERROR for problem in all_problems)
        if errors > 1:
            self.warn(f"{errors} errors")

    def warnings(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Problems in words, on stderr: the result stays one document."""
        all_warnings = tuple(diagnostics)
        self._annotate_all(all_warnings)
        for warning in all_warnings:
            for line in self._problem(warning):
                self.warn(line)

    def _problem(self, problem: Diagnostic) -> Iterator[Line]:
        colour = "red" if problem.severity is Severity.ERROR else "yellow"
        severity = styled(str(problem.severity), colour, "bold")
        yield styled(str(problem.place), "bold"), ": ", severity, f": {problem.message} [{problem.code}]"
        yield from self._snippet(problem)
        yield from (f"  {place}: {text}" for place, text in problem.related)
        if problem.hint:
            yield "  ", styled("hint", "cyan"), f": {problem.hint}"

    def _snippet(self, problem: Diagnostic) -> Iterator[Line]:
        if problem.source is None or not problem.source.strip() or problem.place.column > _LONGEST_SOURCE:
            return
        source = cut(problem.source, _LONGEST_SOURCE)
        yield f"  {problem.place.line:>4} | ", Quoted(source)
        if self.clean(source) != source:
            return  # nothing stands in its column any more
        # A tab is as wide as the terminal likes: the caret copies it, so that it stands below its character.
        before = "".join(char if char == "\t" else " " for char in source[: problem.place.column - 1])
        yield "       | ", Quoted(before), styled("^", "red", "bold")

    # --- marks at the manifest's lines --------------------------------------------------------------------------------

    def _annotate_all(self, problems: Sequence[Diagnostic]) -> None:
        """Errors first: what is beyond the bound is not shown."""
        for problem in sorted(problems, key=lambda problem: problem.severity is not Severity.ERROR):
            text = problem.message + (f" ({problem.hint})" if problem.hint else "")
            place = problem.place
            self.annotate(
                str(problem.severity), text, file=place.file, line=place.line, col=place.column, title=problem.code
            )

    def annotate(self, level: str, message: str, *, file: str | None = None, **properties: object) -> None:
        """On GitHub: a workflow command that marks a line, `level` being error or warning. A step has few of them.

        Warnings take half of them at most, so that there is room for what fails the build.
        """
        room = ANNOTATIONS if level == "error" else ANNOTATIONS // 2
        if self.output != "github" or sum(self._annotated.values()) >= room:
            return
        self._annotated[level] = self._annotated.get(level, 0) + 1
        parts = {"file": self._from_workspace(file)} if file is not None else {}
        where = [f"{name}={self._escaped(str(value), value=True)}" for name, value in {**parts, **properties}.items()]
        self._write(f"::{level}{' ' if where else ''}{','.join(where)}::{self._escaped(message)}")

    def _escaped(self, text: str, *, value: bool = False) -> str:
        return escaped(inert(self.clean(text), _LONGEST_ANNOTATION), value=value)

    def _from_workspace(self, file: str) -> str:
        """GitHub looks for files from there, wherever this process was started."""
        if self.workspace is None or os.path.isabs(file):  # noqa: PTH117  a file of a message need not exist
            return file
        with contextlib.suppress(OSError, ValueError):
            folder = os.path.relpath(Path.cwd(), self.workspace)
            relative = Path(os.path.normpath(os.path.join(folder, file))).as_posix()  # noqa: PTH118  likewise
            return file if relative.startswith("..") else relative
        return file


def _columns(stream: TextIO) -> int | None:
    """How wide a terminal is; None for what is none."""
    return size_of(stream)[0] if stream.isatty() else None


def _coloured(piece: Piece) -> str:
    if isinstance(piece, str) or not piece.text:
        return plain(piece)
    codes = ";".join(_STYLES[style] for style in piece.styles if style)
    return f"\x1b[{codes}m{piece.text}\x1b[0m" if codes else piece.text


def open_console(
    environ: Mapping[str, str],
    *,
    output: str | None = None,
    quiet: bool = False,
    verbose: bool = False,
    color: str | None = None,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> Console:
    """The console for this process. Without `output`, it is the form that fits."""
    if output is None:
        output = "github" if environ.get("GITHUB_ACTIONS") == "true" else "text"
    # A stream that the caller closed is None.
    out, err = out or sys.stdout or _nowhere(), err or sys.stderr or _nowhere()
    for stream in (out, err):
        # A terminal of another encoding gets other marks, not a traceback.
        if hasattr(stream, "reconfigure"):
            with contextlib.suppress(OSError):  # it flushes: what is full is noticed by the next line
                stream.reconfigure(errors=_OTHER_MARKS)
    return Console(
        out=out,
        err=err,
        environ=environ,
        output=output,
        colour_out=_has_colours(out, color, environ),
        colour_err=_has_colours(err, color, environ),
        quiet=quiet,
        verbose=verbose,
        workspace=_workspace(environ) if output == "github" else None,
    )


def _has_colours(stream: TextIO, color: str | None, environ: Mapping[str, str]) -> bool:
    """What was asked for, first to last: the option, NO_COLOR, FORCE_COLOR; else what the reader can show."""
    if color not in {None, "auto"}:
        return color == "always"
    if environ.get("NO_COLOR"):
        return False
    if any(environ.get(name, "").lower() not in {"", "0", "false"} for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    if stream.isatty():
        return environ.get("TERM") != "dumb" and takes_commands(stream)
    return any(environ.get(name) for name in _CI_WITH_COLOURS) and not _is_file(stream)


def _is_file(stream: TextIO) -> bool:
    """True for a result that is kept: a log is a pipe."""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def takes_commands(stream: TextIO) -> bool:
    """True if a terminal obeys colours and moves of the cursor. Those of Windows have to be asked for it first."""
    if sys.platform == "win32":
        import ctypes
        import msvcrt

        kernel = ctypes.windll.kernel32
        mode = ctypes.c_ulong()
        try:
            handle = msvcrt.get_osfhandle(stream.fileno())
        except (OSError, ValueError):
            return False
        virtual_terminal = 4  # learn.microsoft.com: SetConsoleMode, ENABLE_VIRTUAL_TERMINAL_PROCESSING
        asked = kernel.GetConsoleMode(handle, ctypes.byref(mode))
        return bool(asked and kernel.SetConsoleMode(handle, mode.value | virtual_terminal))
    return True


_OTHER_MARKS = "qarunner-marks"
_IN_ASCII = {"✓": "+", "✗": "x", "↻": "~", "·": ".", "…": "...", "→": "->", "✅": "+", "❌": "x", "🔁": "~", "⏭": "-"}
_IN_ASCII |= {"⚠": "!", "\N{VARIATION SELECTOR-16}": "", "▁": "_", "▄": "-", "█": "#"}


def _other_marks(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that a stream's encoding does not have."""
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101  it is registered for writing alone
    return "".join(_IN_ASCII.get(char, "?") for char in error.object[error.start : error.end]), error.end


codecs.register_error(_OTHER_MARKS, _other_marks)


def _encodable(text: str, stream: TextIO) -> str:
    """A text as a stream is to write it."""
    if text.isascii() or (encoding := getattr(stream, "encoding", None)) is None:
        return text
    return text.encode(encoding, errors=_OTHER_MARKS).decode(encoding)


def _workspace(environ: Mapping[str, str]) -> Path | None:
    """The checkout, as the runner names it; elsewhere, the repository."""
    named = environ.get("GITHUB_WORKSPACE")
    with contextlib.suppress(OSError):
        return Path(named).resolve() if named else repository_root(Path.cwd())
    return None


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def as_json(problem: Diagnostic) -> dict[str, object]:
    """A problem as data; the same keys whatever the problem is."""
    related = [{**asdict(place), "message": text} for place, text in problem.related]
    return {
        **record(problem, "code", "severity", "message"),
        **asdict(problem.place),
        "hint": problem.hint,
        "related": related,
    }


def escaped(text: str, *, value: bool = False) -> str:
    """Text inside a workflow command, escaped: a message cannot start another command."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if value else text


def unwritten(error: OSError) -> Unwritten:
    return Unwritten(f"stdout: cannot be written: {error.strerror or error}")


def silence(stream: TextIO) -> None:
    """What is left in the buffer would fail again at the interpreter's exit, and change the exit code."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
