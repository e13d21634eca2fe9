"""A changed matrix as lines for a terminal, each with the style that it may be shown in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.review import view
from qarunner.text import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qarunner.review.reasons import Notice
    from qarunner.review.view import Group, Review


ROWS = 12
"""Rows of a group that are shown; more with -v."""


_STYLES = {"+": "green", "-": "red", "~": "yellow"}


def render(review: Review, *, every_row: bool = False) -> Iterator[tuple[str, str]]:
    """Lines and their styles. No line begins with a word of a manifest, so that no line is a command to a CI system."""
    for text, style in _lines(review, ROWS if not every_row else None):
        yield view.visible(text), style


def _lines(review: Review, most: int | None) -> Iterator[tuple[str, str]]:
    for warning in review.warnings:
        yield f"warning: {warning}", "yellow"
    yield f"{review.file} against {review.wording}: {view.counts(review.difference)}", "bold"
    yield from _changes(review, most)
    for profile in review.profiles:
        yield "", ""
        yield f"profile {profile.profile}: {view.counts(profile.difference)}", "bold"
        yield from _changes(profile, most)


def _changes(review: Review, most: int | None) -> Iterator[tuple[str, str]]:
    difference = review.difference
    if not difference:
        return
    yield view.costs(difference.before, difference.after), ""
    if money := view.money_moved(difference.before, difference.after):
        yield money, ""
    if review.month is not None:
        yield view.month_words(review.month), ""
    for notice in review.notices:
        yield "", ""
        yield from _notice(notice, most)
    for group in view.groups(difference):
        yield "", ""
        yield from _group(group, most)
    others = view.settings(review)
    if others:
        yield "", ""
        yield "settings", "bold"
        for setting in others:
            yield f"    {view.worded(setting)}", ""


def _notice(notice: Notice, most: int | None) -> Iterator[tuple[str, str]]:
    yield f"! {notice.message}", "yellow"
    if notice.rows:
        yield f"    {_some(list(notice.rows), most)}", ""


def _group(group: Group, most: int | None) -> Iterator[tuple[str, str]]:
    yield f"{group.sign} {group.cause}", _STYLES[group.sign]
    for changed in group.fields:
        yield f"    {view.detail(changed)}", ""
    if group.obvious:
        return
    if group.sign == "~":
        yield f"    {_some([line.id for line in group.lines], most)}", ""
        return
    shown = group.lines[:most]
    width = max(len(line.id) for line in shown)
    for line in shown:
        yield f"    {line.id.ljust(width)}  {view.described(line)}  {line.origin.file}:{line.origin.line}", ""
    if len(shown) < len(group.lines):
        yield f"    and {len(group.lines) - len(shown)} more (-v shows them)", "dim"


def _some(ids: list[str], most: int | None) -> str:
    return listed(ids, most or len(ids), " and {} more (-v shows them)")
