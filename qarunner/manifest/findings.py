"""The problems that a reader collects on its way through a text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qarunner.manifest import fault_codes as codes
from qarunner.manifest import syntax

if TYPE_CHECKING:
    from qarunner.diagnostics import Diagnostic
    from qarunner.manifest.source import Source

MOST = 200
"""With so many problems the file is something else than a manifest; the rest is not looked for."""


class Stop(Exception):  # noqa: N818  not an error of its own: its problem is already written down
    """Nothing behind this problem can be read."""


class Findings:
    def __init__(self, source: Source) -> None:
        self.problems: list[Diagnostic] = []
        self._source = source

    def add(self, offset: int, message: str, code: str, hint: str | None = None) -> None:
        self._keep(self._source.problem(offset, message, code=code, hint=hint))

    def stop(self, offset: int, message: str, code: str, hint: str | None = None) -> Stop:
        """To be raised."""
        self.problems.append(self._source.problem(offset, message, code=code, hint=hint))
        return Stop()

    def duplicate(self, offset: int, key: str, first: int) -> None:
        """A key that stands at an earlier offset already."""
        hint = "merge several with <<: [*one, *two]" if key == "<<" else "remove one of the two, or rename it"
        found = self._source.problem(offset, f"duplicate key {key!r}", code=codes.DUPLICATE_KEY, hint=hint)
        self._keep(replace(found, related=((self._source.place(first), f"{key!r} stands here first"),)))

    def bad_key(self, offset: int, what: str) -> None:
        """Something that cannot be a key; most often a template without quotes."""
        if what == "a mapping" and self._source.text[offset - 1 : offset + 1] == "{{":
            self._keep(syntax.unquoted_template(self._source, offset - 1))
            return
        self.add(offset, f"{what} cannot be a key", codes.BAD_KEY, "keys are text; text with brackets needs quotes")

    def bad_tag(self, offset: int, tag: str) -> None:
        shown = tag.replace("tag:yaml.org,2002:", "!!")
        hint = "remove it; text that begins with '!' needs quotes"
        self.add(offset, f"the tag {shown} is not supported", codes.TAG, hint)

    def syntax_error(self, complaint: syntax.Complaint) -> None:
        """What the parser stopped at, unless a template without quotes in the same line is its cause."""
        found = syntax.explain(self._source, complaint)
        causes = {each.place.line for each in self.problems if each.code == codes.UNQUOTED_TEMPLATE}
        if found.place.line not in causes:
            self.problems.append(found)

    def _keep(self, found: Diagnostic) -> None:
        """Of several problems at one place the first is the cause, such as an alias of nothing that is then merged."""
        if any(each.place == found.place for each in self.problems):
            return
        self.problems.append(found)
        if len(self.problems) >= MOST:
            raise Stop
