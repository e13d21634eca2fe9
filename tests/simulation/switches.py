"""What is not asked of the program yet, each with the reason: a spell, a mishap, a lie or a check, by its name.

A name goes when its mend comes. In the end nothing stands here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

OFF: Mapping[str, str] = {}


def on(name: str) -> bool:
    return name not in OFF
