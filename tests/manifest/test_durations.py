from __future__ import annotations

import pytest

from qarunner.manifest.model import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("200ms", 0.2), ("30s", 30), ("10m", 600), ("1h30m", 5400), ("2h", 7200), ("1h1m1s1ms", 3661.001), ("0s", 0)],
)
def test_durations_are_seconds(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text", ["", "10", "s", "1.5h", "-1s", "1m1h", "1s1s", "1 h", "1H", "1d", "10m\n", "\u0661s", "ms", "1" * 30 + "s"]
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        seconds(text)
