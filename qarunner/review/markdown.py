"""A changed matrix as a comment of a pull request: the biggest things first, and never longer than a comment may be.

The manifest may be a stranger's: whatever it says stands in code spans, where nothing links, mentions or is HTML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.review import view
from qarunner.text import listed, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qarunner.review.view import Group, Review


COMMENT = 65_536
"""GitHub's limit of a comment, in characters; GitLab's is 1,000,000."""


ROOM = 1_536
"""For whoever posts the comment: a hidden marker, a heading."""


_LONGEST = 400
"""Characters of one value: a comment of a single long one would say nothing else."""


_FOLDED = 6
"""Rows of a group that stand open; more are folded away."""


_WORDS = {"+": "Added", "-": "Removed", "~": "Changed"}


def render(review: Review, limit: int = COMMENT - ROOM) -> str:
    """The comment. `limit` is in bytes of UTF-8, so that it holds whatever a site counts."""
    page = Page(limit)
    for block, rows in _blocks(review):
        page.add(block, rows)
    return page.text("`qarunner diff` shows all of it")


class Page:
    """Blocks until the page is full; then it counts what it left out."""

    def __init__(self, limit: int = COMMENT - ROOM) -> None:
        self._left = limit - 200  # the sentence that says what was left out
        self._blocks: list[str] = []
        self._cut = 0
        self._cut_rows = 0

    def add(self, block: str, rows: int = 0) -> None:
        size = len(block.encode()) + 2
        if self._cut or size > self._left:
            self._cut += 1
            self._cut_rows += rows
            return
        self._left -= size
        self._blocks.append(block)

    def text(self, rest: str) -> str:
        """The page; `rest` says where all of it is."""
        blocks = list(self._blocks)
        if self._cut:
            rows = f" with {plural(self._cut_rows, 'row')}" if self._cut_rows else ""
            what = plural(self._cut, "smaller part") + rows
            blocks.append(f"_{what} {'does' if self._cut == 1 else 'do'} not fit here: {rest}._")
        return "\n\n".join(blocks) + "\n"


def _blocks(review: Review) -> Iterator[tuple[str, int]]:
    """Parts of the page, each whole, with the number of rows that are lost without it."""
    difference = review.difference
    yield f"### {code(review.file)}: {view.counts(difference)}", 0
    costs = f" {_capital(code_numbers(view.costs(difference.before, difference.after)))}." if difference else ""
    yield f"Against {code(review.wording)}.{costs}", 0
    if difference and (money := view.money_moved(difference.before, difference.after)):
        yield f"{_capital(money)}.", 0
    if review.month is not None:
        yield f"{_capital(view.month_words(review.month))}.", 0
    for warning in review.warnings:
        yield f"> **Warning:** {code(warning)}", 0
    yield from _changes(review)
    for profile in review.profiles:
        yield f"**In the profile {code(str(profile.profile))}**: {view.counts(profile.difference)}", 0
        yield from _changes(profile)


def _changes(review: Review) -> Iterator[tuple[str, int]]:
    """What to look at first, the rows, and the settings."""
    difference = review.difference
    if review.notices:
        yield "**Look at these first**", 0
        for notice in review.notices:
            yield f"- {code(notice.message)}{_rows(notice.rows)}", len(notice.rows)
    for group in view.groups(difference):
        yield from _group(group)
    others = view.settings(review)
    if others:
        yield "**Settings**", 0
        for field in others:
            yield f"- {code(view.worded(field))}", 0


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def code_numbers(text: str) -> str:
    """Our own sentence with vendors' names in it, which may be a plugin's."""
    head, colon, names = text.partition(": ")
    return f"{head}{colon}{code(names)}" if colon else head


def _rows(ids: tuple[str, ...]) -> str:
    return f": {listed(list(map(code, ids)), _FOLDED)}" if ids else ""


def _group(group: Group) -> Iterator[tuple[str, int]]:
    heading = f"**{_WORDS[group.sign]}** {code(group.cause)}, {plural(len(group.lines), 'row')}"
    details = [f"- {code(view.detail(changed))}" for changed in group.fields]
    if group.obvious:
        yield "\n".join([heading.rpartition(", ")[0], "", *details]).rstrip(), 1
        return
    rows = [f"- {code(line.id)}" + _about(group, line_number) for line_number, line in enumerate(group.lines)]
    if len(rows) <= _FOLDED:
        yield "\n".join([heading, "", *details, *rows]), len(rows)
        return
    yield "\n".join([heading, "", *details]).rstrip(), 0
    for start in range(0, len(rows), _PIECE):
        piece = rows[start : start + _PIECE]
        summary = f"rows {start + 1} to {start + len(piece)}"
        yield "\n".join([f"<details><summary>{summary}</summary>", "", *piece, "", "</details>"]), len(piece)


_PIECE = 100


def _about(group: Group, number: int) -> str:
    line = group.lines[number]
    if group.sign == "~":
        return ""
    return f" {code(view.described(line))}, {code(f'{line.origin.file}:{line.origin.line}')}"


def code(text: str) -> str:
    """A code span of any text: one line, no backtick, and no longer than a reader would read."""
    plain = view.visible(text).replace("`", "\\x60").strip()
    cut = plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}…"
    return f"`{cut or '(empty)'}`"
