"""`paths`: which files concern an entry. Globs begin at the repository's root, and the last that matches decides."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from qarunner.diagnostics import Severity, in_order, problem
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import Placed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qarunner.diagnostics import Diagnostic
    from qarunner.manifest.model import Manifest, Row

KEY = "paths"
_PIECE = re.compile(r"(\*+)|(\?)|\\(.)|([^*?])", re.DOTALL)
_WILD = re.compile(r"(?<!\\)[*?]")
_Step: TypeAlias = "re.Pattern[str] | None"
"""What one name on the way to a file has to look like; None stands for any folders, or none."""


def patterns_of(row: Row) -> tuple[str, ...]:
    """A row's globs as they were written; () if any change concerns it."""
    told = row.data.get(KEY)
    return tuple(map(str, told)) if isinstance(told, list) else ()


def concerns(patterns: Sequence[str], files: Iterable[str]) -> str | None:
    """The first of these files that the globs mean; a `!` takes out what an earlier glob meant.

    `*` and `?` stay inside of a name, `**` goes through folders, and a folder's name means all that is in it. Brackets
    are text, as in the names of routes: `app/[locale]/**`.
    """
    globs = [(not pattern.startswith("!"), _glob(pattern.removeprefix("!"))) for pattern in patterns]
    for file in files:
        if next((means for means, glob in reversed(globs) if glob.means(file)), False):
            return file
    return None


class _Glob:
    """One glob. The time that it takes is bounded by the lengths, whatever was written."""

    def __init__(self, pattern: str) -> None:
        steps = pattern.removeprefix("./").strip("/").split("/")
        self._steps: list[_Step] = []
        for step in steps:
            self._add(step)
        if steps[-1] == "**":
            self._steps.insert(-1, _step("*"))  # something is in the folder
        elif not _WILD.search(steps[-1]):
            self._steps.append(None)

    def _add(self, step: str) -> None:
        if step.startswith("**"):
            self._steps.append(None)
        if step != "**":
            self._steps.append(_step(step))

    def means(self, file: str) -> bool:
        steps, names = self._steps, file.split("/")
        at = name = 0
        free: tuple[int, int] | None = None  # the last place where any folders can stand, and what they end before
        while name < len(names):
            step = steps[at] if at < len(steps) else _NOTHING
            if step is None:
                at, free = at + 1, (at + 1, name)
            elif step.fullmatch(names[name]):
                at, name = at + 1, name + 1
            elif free is not None:
                free = (free[0], free[1] + 1)
                at, name = free
            else:
                return False
        return all(step is None for step in steps[at:])


_NOTHING = re.compile(r"(?!)")
_glob = lru_cache(maxsize=4096)(_Glob)


def _step(text: str) -> re.Pattern[str]:
    """Between two stars the first place that fits is as good as any: nothing is tried twice."""
    parts: list[str] = [""]
    for match in _PIECE.finditer(text):
        stars, question, escaped, plain = match.groups()
        if stars:
            parts.append("")
        else:
            parts[-1] += "." if question else re.escape(escaped or plain)
    first, *rest = parts
    if not rest:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1])
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL)


# --- globs that match nothing -----------------------------------------------------------------------------------------


def check_paths(manifest: Manifest, rows: Sequence[Row], files: Sequence[str]) -> tuple[Diagnostic, ...]:
    """A warning at each glob that means none of the repository's files: most likely a spelling mistake."""
    known: dict[str, bool] = {}
    return in_order(found for row in rows for found in _unmatched(manifest, row, files, known))


def _unmatched(manifest: Manifest, row: Row, files: Sequence[str], known: dict[str, bool]) -> Iterator[Diagnostic]:
    for index, pattern in enumerate(patterns_of(row)):
        bare = pattern.removeprefix("!")
        if bare not in known:
            known[bare] = concerns((bare,), files) is not None
        if not known[bare]:
            message = f"paths: {pattern!r} matches no file of the repository"
            hint = "globs begin at the repository's root: src/**, or **/checkout/**"
            yield problem(
                Placed(manifest, row), (KEY, index), message, code=Code.NO_FILE, hint=hint, severity=Severity.WARNING
            )
