"""One layer of a row laid over another: mappings merge deeply, everything else replaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SELECTIONS = frozenset({"test_ids", "category_ids", "tags"})
"""A row has one of them: a layer that names one takes the place of whichever lies below."""

WHOLE = "target"
"""A mapping of exactly one key: two of them cannot merge, so the upper one replaces the lower."""


def overlay(under: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """One mapping laid over another: mappings merge deeply, everything else replaces."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = overlay(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged


def overlay_row(under: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """The same for layers of a row, where of some keys there is one alone."""
    if not SELECTIONS.isdisjoint(over) and not SELECTIONS.isdisjoint(under):
        under = {key: value for key, value in under.items() if key not in SELECTIONS}
    merged = overlay(under, over)
    if WHOLE in over:
        merged[WHOLE] = over[WHOLE]
    return merged
