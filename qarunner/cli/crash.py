"""A bug: said plainly, with a file to send that holds no secret."""

from __future__ import annotations

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
    # Any variable may be a secret, so every value that is long enough to matter is taken out.
    scrub = Scrubber({name: value for name, value in environ.items() if _may_be_secret(name)})
    text = f"qarunner {__version__}, Python {sys.version}\n{sys.platform}\n\n" + "".join(
        traceback.format_exception(error)
    )
    path = _write(mask(scrub(text)))
    sys.stderr.write(f"qarunner: a bug in qarunner: {mask(scrub(f'{type(error).__name__}: {error}'))}\n")
    sys.stderr.write(f"  details, without secrets: {path}\n" if path else mask(scrub(text)))
    sys.stderr.write("  if an apply was under way: qarunner resume goes on where it stopped\n")
    sys.stderr.write(f"qarunner: exit {int(ExitCode.BUG)}: a bug in qarunner\n")
    return int(ExitCode.BUG)


def _may_be_secret(name: str) -> bool:
    from qarunner.manifest.declarations import named_like_secret  # noqa: PLC0415

    return named_like_secret(name)


def _write(text: str) -> Path | None:
    for folder in (FOLDER, Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "crash.txt"
            path.write_text(text, encoding="utf-8")
        except OSError:
            continue
        return path
    return None
