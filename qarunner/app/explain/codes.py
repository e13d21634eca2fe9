"""The page of each code: docs/errors.md, shipped with the package, so that it is at hand offline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner.regex import regex
from qarunner.text import Line, Quoted, styled

if TYPE_CHECKING:
    from collections.abc import Iterator


_NAME = "errors.md"


_HEADING = regex(r"^## ([EW][0-9]{3})$", re.MULTILINE)


_BLOCK = regex(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


_LINK = regex(r"\[([^]]+)\]\([^)]+\)")


_INTRODUCED = {"yaml": "Such as:", "console": "", "diff": "Put right:"}


CODE = regex(r"[EWew][0-9]{3}")


class Page(Struct, frozen=True, kw_only=True):
    """What a code means, an example that has it, and how the example is put right. `text` is Markdown."""

    code: str
    title: str
    text: str

    def block(self, language: str) -> str | None:
        """The first block of code in a language, with a line end after each line."""
        return next((body for marked, body in _BLOCK.findall(self.text) if marked == language), None)


def source() -> str:
    """All pages, as Markdown: inside the package, or in the docs of a source checkout."""
    shipped = Path(__file__).parents[2] / _NAME
    return (shipped if shipped.exists() else Path(__file__).parents[3] / "docs" / _NAME).read_text(encoding="utf-8")


def pages() -> dict[str, Page]:
    """The pages by their codes, in the order of the file."""
    _, *parts = _HEADING.split(source())
    return {
        code: Page(code=code, title=text.strip().partition("\n")[0], text=text.strip())
        for code, text in zip(parts[::2], parts[1::2], strict=True)
    }


def plain(page: Page) -> Iterator[Line]:
    """A page's lines for a terminal: blocks are indented, and nothing of Markdown is left but back quotes."""
    body = _LINK.sub(r"\1", page.text.partition("\n")[2].lstrip("\n"))
    yield styled(f"{page.code}: {page.title}", "bold")
    yield ""
    in_block, paragraph = False, list[str]()
    for line in body.splitlines():
        is_fence = line.startswith("```")
        if line and not in_block and not is_fence:
            paragraph.append(line)  # one line: the terminal's width decides where it is broken
            continue
        if paragraph:
            yield " ".join(paragraph)
            paragraph.clear()
        if is_fence:
            introduction = "" if in_block else _INTRODUCED.get(line[3:].partition(" ")[0], "")
            in_block = not in_block
            if introduction:
                yield from (introduction, "")
        else:
            yield Quoted(f"    {line}".rstrip()) if in_block else line
    if paragraph:
        yield " ".join(paragraph)
