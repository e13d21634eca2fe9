"""A bug: said plainly, with a file to send that holds no secret."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner import __version__
from qarunner.errors import ExitCode
from qarunner.secret import Scrubber, mask

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(".qarunner")


def report_crash(error: BaseException, environ: Mapping[str, str]) -> int:
    """Writes the crash file and says where it is; exit 9."""
    scrub = Scrubber({name: _text(value) for name, value in environ.items() if _may_be_secret(name, value)})
    trace = "".join(traceback.format_exception(error))
    text = mask(scrub(_text(f"qarunner {__version__}, Python {sys.version}\n{sys.platform}\n\n{trace}")))
    path = _write(text)
    lines = (
        f"qarunner: a bug in qarunner: {mask(scrub(_text(f'{type(error).__name__}: {error}')))}",
        f"  details, without secrets: {path}" if path else text,
        "  if an apply was under way: qarunner resume goes on where it stopped",
        f"qarunner: exit {int(ExitCode.BUG)}: a bug in qarunner",
    )
    # Without a stderr, the exit code and the file still tell.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write("\n".join(lines) + "\n")
    return int(ExitCode.BUG)


def _text(text: str) -> str:
    """A variable need not be UTF-8; neither need be what a bug's message repeats of it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _may_be_secret(name: str, value: str) -> bool:
    from qarunner.manifest.declarations import named_like_secret, shaped_like_secret  # noqa: PLC0415

    return named_like_secret(name) or shaped_like_secret(value)


def _write(text: str) -> Path | None:
    data = text.encode()
    with contextlib.suppress(OSError):
        FOLDER.mkdir(exist_ok=True)
        path = FOLDER / "crash.txt"
        path.write_bytes(data)
        return path
    with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(prefix="qarunner-crash-", delete=False) as file:
        file.write(data)
        return Path(file.name)
    return None
