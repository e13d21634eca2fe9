"""Which rows to run: `--select` expressions, several as alternatives, commas inside one as conditions that all hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qarunner.diagnostics import choose
from qarunner.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qarunner.manifest.model import Row

KINDS = ("id", "label", "vendor", "platform", "variant")
_TERM = re.compile(r"(?:([A-Za-z_]+)\s*:)?(.*)", re.DOTALL)
_HINT = "terms are an id, label:x, vendor:x, platform:x or variant:x; * and ? match anything, a leading ! negates"


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `pattern` matches one of the row's ids, labels …, or None where `negated`."""

    text: str
    kind: str
    pattern: re.Pattern[str]
    negated: bool

    def found(self, row: Row) -> bool:
        """Whether a row has what the term names, negated or not."""
        return any(self.pattern.fullmatch(word) for word in _words(self.kind, row))

    def holds(self, row: Row) -> bool:
        return self.found(row) is not self.negated


def parse(expression: str) -> tuple[Term, ...]:
    """The conditions of one expression. UserError if one cannot be understood."""
    return tuple(_term(text.strip(), expression) for text in _split(expression))


def select(rows: Sequence[Row], expressions: Sequence[str]) -> tuple[Row, ...]:
    """The rows that one of the expressions matches, in their order; all rows without any expression.

    An id without its variant or axes selects all rows of the entry.
    """
    alternatives = [parse(expression) for expression in expressions]
    if not alternatives:
        return tuple(rows)
    return tuple(row for row in rows if any(all(term.holds(row) for term in terms) for terms in alternatives))


def unmatched(rows: Sequence[Row], expressions: Sequence[str]) -> tuple[str, ...]:
    """The terms that name something no row has, as they were written: most likely spelling mistakes."""
    terms = {term.text: term for expression in expressions for term in parse(expression)}
    return tuple(text for text, term in terms.items() if not any(term.found(row) for row in rows))


def suggestion(rows: Iterable[Row], text: str) -> str:
    """A hint for a term that matches nothing: what was probably meant, and what there is."""
    term = _term(text, text)
    known = sorted({word for row in rows for word in _words(term.kind, row)})
    if not known:
        return f"no row has a {term.kind}"
    word = _TERM.sub(r"\2", text.lstrip("! "))
    return choose(word.strip(), known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")


_SHOWN = 40


def _split(expression: str) -> list[str]:
    """At commas, but not at those inside of the brackets of an id: `search[locale=en,tier=pro]`."""
    return re.split(r",(?![^\[\]]*\])", expression)


def _term(text: str, expression: str) -> Term:
    negated = text.startswith("!")
    match = _TERM.fullmatch(text[negated:].strip())
    kind, word = (match[1] or "id", match[2].strip()) if match else ("id", "")
    if not word or word.startswith("!"):
        raise UserError(f"--select {expression!r}: {text!r} names nothing", hint=_HINT)
    if kind not in KINDS:
        raise UserError(f"--select {expression!r}: unknown term {kind!r}", hint=choose(kind, KINDS))
    return Term(text, kind, _glob(word), negated)


def _glob(word: str) -> re.Pattern[str]:
    """`*` and `?` alone are special: brackets are a part of ids. `**` is `*`, so that time stays bounded."""
    pieces = re.split(r"(\*+|\?)", word)
    return re.compile("".join(_piece(piece) for piece in pieces), re.DOTALL)


def _piece(piece: str) -> str:
    if piece.startswith("*"):
        return ".*"
    return "." if piece == "?" else re.escape(piece)


def _words(kind: str, row: Row) -> Iterator[str]:
    match kind:
        case "id":
            # An id without its variant or its axes names all of them.
            yield from dict.fromkeys((row.id, row.id.partition("[")[0], row.entry_id))
        case "variant":
            if row.variant is not None:
                yield row.variant
        case "label":
            labels = row.data.get("labels")
            yield from map(str, labels if isinstance(labels, list) else ())
        case _:
            value = row.data.get(kind)
            if isinstance(value, str):
                yield value
