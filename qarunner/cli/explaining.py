"""`explain`: what a code means."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qarunner.cli.pages import pages, plain
from qarunner.diagnostics import choose
from qarunner.errors import ExitCode, UserError

if TYPE_CHECKING:
    from qarunner.cli.console import Console


def explain_code(console: Console, word: str) -> ExitCode:
    """Prints the page of a code. UserError if there is none."""
    known = pages()
    page = known.get(word.upper())
    if page is None:
        raise UserError(f"unknown code {word!r}", hint=choose(word.upper(), tuple(known)))
    if console.output == "json":
        data = {"version": 1, "code": page.code, "title": page.title, "text": page.text}
        console.result(json.dumps(data, indent=2, ensure_ascii=False))
        return ExitCode.OK
    first, *rest = plain(page)
    console.result(console.style(first, "bold"))
    for line in rest:
        console.result(line)
    return ExitCode.OK
