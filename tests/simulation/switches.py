"""What is not asked of the program yet, each with the reason: a spell, a mishap, a lie or a check, by its name.

A name goes when its mend comes. In the end nothing stands here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

OFF: Mapping[str, str] = {
    "restored": "a repeated job cannot tell that its folder is an older one",
    "odd create": "a create that is answered with 409, 425 or 301 is called refused, whatever became of it",
    "wire": "an error's class is asked whether a request was sent, and a 103 is taken for the answer",
    "gone": "where the folder went, a run whose answer is lost may be named nowhere: seeds 1070 and 1099",
    "exit 75": "it says that nothing was started, also where something was",
}


def on(name: str) -> bool:
    return name not in OFF
