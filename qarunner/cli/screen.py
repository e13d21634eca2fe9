"""The lower part of a terminal, drawn in place; whatever is written meanwhile scrolls by above it."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
        """Takes the block away."""
        if self._lines:
            self._write(f"{self._home()}{_TO_SCREEN_END}")
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
        """Leads to the block's first row. A window that became narrower has broken its lines into several rows."""
        columns = self.size()[0]
        rows = sum(max(1, -(-width // columns)) for _, width in self._lines)
        return "\r" + (_UP.format(rows) if rows else "")

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
