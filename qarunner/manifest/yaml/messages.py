"""What a YAML parser complains of, in the words of someone who writes a manifest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from qarunner.manifest import codes
from qarunner.regex import regex

if TYPE_CHECKING:
    from qarunner.diagnostics import Diagnostic
    from qarunner.manifest.yaml.source import Source


class SyntaxMessage(NamedTuple):
    """A parser's complaint: its text, what it was doing, and the offsets of both."""

    problem: str
    offset: int
    context: str = ""
    context_offset: int | None = None


class _Words(NamedTuple):
    pattern: str
    message: str
    hint: str | None = None
    at_context: bool = False


_CLOSE = "a list needs its ']', a mapping its '}'; text that holds one of [ ] { } , needs quotes"


# Matched against "context: problem" of libyaml and of PyYAML's own parser, in this order.
_TABLE = (
    _Words(r"quoted scalar: found unexpected", "this quote is never closed", at_context=True),
    _Words(
        r"mapping values are not allowed",
        "unexpected ':'",
        "text that holds ': ' needs quotes; else check the indentation",
    ),
    _Words(r"found unexpected ':'", "unexpected ':'", "put a space behind it; text that holds a ':' needs quotes"),
    _Words(r"mapping keys are not allowed", "unexpected '?'", "text that begins with '?' needs quotes"),
    _Words(
        r"comment or line break|chomping or indentation",
        "'|' and '>' begin a text on the lines below",
        "put the text on the next line, indented; text that begins with one of them needs quotes",
    ),
    _Words(
        r"could not find expected ':'",
        "a key without ':'",
        "write `key: value`; text over several lines needs quotes or `|`",
        at_context=True,
    ),
    _Words(r"flow (sequence|mapping): ", "this bracket is not closed properly", _CLOSE, at_context=True),
    _Words(r"sequence entries are not allowed", "a list cannot begin here", "put `- ` on a line of its own"),
    _Words(
        r"(anchor|alias): ",
        "'&' and '*' begin an anchor and an alias",
        "text that begins with one of them needs quotes",
    ),
    _Words(r"cannot start any token", "text cannot begin with this character", "put the text in quotes"),
    _Words(
        r"found unknown escape character",
        "unknown escape in a double-quoted text",
        "write a backslash twice, or use single quotes",
    ),
    _Words(
        r"hexdecimal|hexadecimal|invalid Unicode character",
        "invalid escape in a double-quoted text",
        r"\u takes 4 hexadecimal digits and \U 8; instead of a pair such as \ud83d\ude00, write the character itself",
    ),
    _Words(
        r"block (mapping|collection|sequence): ",
        "this line does not fit the indentation around it",
        "align it with the lines that belong together",
    ),
    _Words(r"flow node", "a value or a closing bracket is missing here", _CLOSE),
    _Words(r"block node|node content", "a value is missing here"),
    _Words(r"tag|directive|document start", "this is not part of a manifest", "start with: version: 1"),
)


_QUOTED = regex(r'"(?:\\.|[^"\\])*"|\'(?:\'\'|[^\'])*\'')


_TEMPLATE = regex(r"\{[{%#]")


_TEMPLATE_TEXT = regex(r"(?:\{\{.*?\}\}|\{%.*%\}|\{#.*?#\})[^\s,\]}]*")


_BESIDE = regex(r"[^\s,\[{]*$")


_INDENT = regex(r"[ ]*\t")


def explain(source: Source, complaint: SyntaxMessage) -> Diagnostic:
    """The one problem that a parser stopped at."""
    known = (
        _tab(source, complaint)
        or _left_over(source, complaint)
        or _template(source, complaint)
        or _cut_off(source, complaint)
    )
    return known or _named(source, complaint)


def unquoted_template(source: Source, offset: int) -> Diagnostic:
    """A template that begins at an offset without quotes, so that YAML sees braces."""
    before = _BESIDE.search(source.text[max(source.line_begin(offset), offset - 100) : offset])
    template = _TEMPLATE_TEXT.match(source.line_from(offset))
    # What stands right beside the template belongs to the same value.
    value = f"{before[0]}{template[0]}" if before and template else "{{ … }}"
    quote = "'" if '"' in value else '"'
    return source.problem(
        offset,
        "a template needs quotes, as YAML reads its braces as a mapping",
        code=codes.UNQUOTED_TEMPLATE,
        hint=f"quote the whole value: {quote}{value}{quote}",
    )


def _tab(source: Source, complaint: SyntaxMessage) -> Diagnostic | None:
    begin = source.line_begin(complaint.offset)
    match = _INDENT.match(source.line_from(begin))
    if not match:
        return None
    offset = begin + match.end() - 1
    return source.problem(offset, "a tab is used as indentation", code=codes.TAB, hint="use spaces")


_MARKER = regex(r"(?:<{7}|={7}|>{7}|\|{7})(?: .*)?$")


_WIDE = regex("[\u00a0\u2007\u202f]")


def _left_over(source: Source, complaint: SyntaxMessage) -> Diagnostic | None:
    """What git left of a conflict, or an editor of a text: near the place, as a parser notices it a line later."""
    begin = source.line_begin(complaint.offset)
    for line in (source.line_begin(max(begin - 1, 0)), begin, source.line_begin(complaint.context_offset or begin)):
        text = source.line_from(line)
        if _MARKER.match(text):
            hint = "keep one of the two sides, and remove the lines with <<<<<<<, ======= and >>>>>>>"
            return source.problem(line, "a merge conflict is left here", code=codes.SYNTAX, hint=hint)
        if wide := _WIDE.search(text):
            what = "a non-breaking space, which is no space in YAML"
            return source.problem(line + wide.start(), what, code=codes.SYNTAX, hint="write an ordinary space")
    return None


def _template(source: Source, complaint: SyntaxMessage) -> Diagnostic | None:
    """A template without quotes nearby, whatever the parser says that it caused."""
    begin = source.line_begin(complaint.offset)
    lines = [begin, source.line_begin(max(begin - 1, 0))]
    if complaint.context_offset is not None:
        lines.insert(1, source.line_begin(complaint.context_offset))
    for line in lines:
        bare = _QUOTED.sub(lambda match: " " * len(match[0]), source.line_from(line))
        template = _TEMPLATE.search(bare)
        if template:
            return unquoted_template(source, line + template.start())
    return None


def _cut_off(source: Source, complaint: SyntaxMessage) -> Diagnostic | None:
    """A template whose own quotes end the text that it stands in."""
    begin = source.line_begin(complaint.offset)
    before = source.text[begin : complaint.offset]
    for quote, other in ("\"'", "'\""):
        if re.search(rf"{quote}[^{quote}]*\{{\{{(?:(?!\}}\}})[^{quote}])*{quote}$", before.rstrip()):
            message = f"this {quote} ends the text in the middle of its template"
            example = f"{{{{ git.branch | default({other}main{other}) }}}}"
            hint = f"inside of {quote}…{quote}, a template quotes with {other}: {example}"
            return source.problem(begin + len(before.rstrip()) - 1, message, code=codes.SYNTAX, hint=hint)
    return None


def _named(source: Source, complaint: SyntaxMessage) -> Diagnostic:
    full = f"{complaint.context}: {complaint.problem}"
    for words in _TABLE:
        if re.search(words.pattern, full):
            at_context = words.at_context and complaint.context_offset is not None
            offset = complaint.context_offset if at_context else _within(source, complaint.offset)
            return source.problem(offset or 0, words.message, code=codes.SYNTAX, hint=words.hint)
    return source.problem(_within(source, complaint.offset), f"not valid YAML: {complaint.problem}", code=codes.SYNTAX)


def _within(source: Source, offset: int) -> int:
    """What a parser misses at the end of the file is shown at the last character before."""
    return min(offset, max(len(source.text.rstrip()) - 1, 0))
