"""Durations as people write them: `200ms`, `30s`, `10m`, `1h30m`."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(?:(\d{1,22})h)?(?:(\d{1,22})m(?!s))?(?:(\d{1,22})s)?(?:(\d{1,22})ms)?", re.ASCII)
_FACTORS = (3600.0, 60.0, 1.0, 0.001)


def seconds(text: str) -> float:
    """A duration in seconds. Units stand from the largest to the smallest, each at most once; else ValueError."""
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"not a duration: {text!r} (write it as 200ms, 30s, 10m or 1h30m)")
    return sum(int(count) * factor for count, factor in zip(match.groups(), _FACTORS, strict=True) if count)
