"""`explain`: the page of a code, or one entry from its lines to its request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from qarunner.app.explain.codes import CODE, pages, plain
from qarunner.app.explain.rows import Explained, Value, explain_rows
from qarunner.diagnostics import Place, choose
from qarunner.errors import ExitCode, UserError
from qarunner.plan.cost import count_tests, money_data, tests_of, with_retries
from qarunner.text import Line, Quoted, duration, record, styled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.app.options import ExplainOptions
    from qarunner.cli.console import Console
    from qarunner.manifest.templates.reads import Read


_WIDEST = 44


def explain(console: Console, environ: Mapping[str, str], words: ExplainOptions) -> ExitCode:
    """The page of a code, or the rows that an id or glob names. An entry goes before a code of the same name."""
    word = words.word
    if not CODE.fullmatch(word):
        return _explain_rows(console, environ, words)
    if word[0].islower():  # no id has upper-case letters
        try:
            return _explain_rows(console, environ, words)
        except UserError:
            pass
    return explain_code(console, word)


def explain_code(console: Console, word: str) -> ExitCode:
    """Prints the page of a code. UserError for an unknown code."""
    known = pages()
    page = known.get(word.upper())
    if page is None:
        raise UserError(f"unknown code {word!r}", hint=choose(word.upper(), tuple(known)))
    console.answer(lambda: record(page, "code", "title", "text"), plain(page))
    return ExitCode.OK


# --- entries ----------------------------------------------------------------------------------------------------------


def _explain_rows(console: Console, environ: Mapping[str, str], words: ExplainOptions) -> ExitCode:
    explained_rows = explain_rows(words, environ, hide=console.hide)
    shown: dict[str, str] = {}
    texts = ([*([""] if number else []), *_text(row, shown)] for number, row in enumerate(explained_rows))
    lines = (line for text in texts for line in text)
    console.answer(lambda: {"entries": [_data(row) for row in explained_rows]}, lines)
    return ExitCode.OK


def _text(explained: Explained, shown: dict[str, str]) -> Iterator[Line]:
    """`shown`: by the first row of a call, the row below which its request stands already."""
    yield styled(explained.row.id, "bold"), f"  {explained.place}"
    runs = {True: ("runs", "green"), False: ("does not run", "yellow"), None: ("runs or not", "yellow")}[explained.runs]
    yield "  ", styled(*runs), f": {explained.reason}"
    condition = explained.row.data.get("if")
    if condition is not None:
        yield f"  if: {_short(condition)}"
    yield f"  {gate(explained)}"
    for line in needs(explained):
        yield f"  {line}"
    yield f"  cost: {cost(explained)}"
    if explained.missing:
        yield f"  not known, and shown as templates: {'; '.join(explained.missing)}"
    yield ""
    yield from _table(explained.values)
    yield ""
    if explained.reads:
        yield from _reads(explained.reads)
        yield ""
    yield from _request(explained, shown)


def gate(explained: Explained) -> str:
    """Whether the verdict counts for the build, and why."""
    policy = explained.policy
    if explained.undecided is not None:
        return f"gates or not: {explained.undecided} is {explained.row.data[explained.undecided]}"
    if policy.quarantine is not None:
        held = policy.quarantine
        return f"does not gate until {held.until}: in quarantine, {held.reason} ({held.owner})"
    if policy.allow_failure:
        return "does not gate: allow_failure"
    ended = "; its quarantine has ended" if explained.row.data.get("quarantine") else ""
    return f"gates: a failed or blocked test fails the build{ended}"


def needs(explained: Explained) -> Iterator[str]:
    if explained.needs:
        yield f"needs: {', '.join(explained.needs)}; unless they pass it is skipped"


def cost(explained: Explained) -> str:
    """How many tests, how often at most, and for how long."""
    entry, policy = explained.entry, explained.policy
    tests = "unknown tests" if entry is None else count_tests([entry])
    more = [f"{policy.retries.failed} after failed tests"] if policy.retries.failed else []
    more += [f"{policy.retries.infra} after a failure of the vendor"] if policy.retries.infra else []
    again = f"1 run, and at most {' and '.join(more)}" if more else "1 run"
    worth = f"; {with_retries(explained.cost)}" if explained.cost is not None else ""
    return f"{tests}; {again}; at most {duration(policy.timeout_s)} each{worth}"


def _table(values: tuple[Value, ...]) -> Iterator[Line]:
    rows = [(value, _short(value.written)) for value in values]
    path = max((len(value.path) for value, _ in rows), default=0)
    text = min(max((len(shown) for _, shown in rows), default=0), _WIDEST)
    source = max((len(value.source) for value, _ in rows), default=0)
    for value, shown in rows:
        yield f"  {value.path:{path}}  {shown:{text}}  {value.source:{source}}  ", styled(str(value.place), "dim")
        if value.value != value.written:
            yield f"  {'':{path}}  = {json.dumps(value.value, ensure_ascii=False)}"
        if value.unknown:
            yield f"  {'':{path}}  ? {'; '.join(value.unknown)}"


def _reads(reads: tuple[Read, ...]) -> Iterator[Line]:
    rows = [(read, f"? {read.unknown}" if read.unknown else _short(read.value)) for read in reads]
    path = max(len(read.path) for read, _ in rows)
    text = min(max(len(shown) for _, shown in rows), _WIDEST)
    source = max(len(read.source) for read, _ in rows)
    yield "  it reads:"
    for read, shown in rows:
        place = f"  {read.place}" if read.place is not None else ""
        yield f"  {read.path:{path}}  {shown:{text}}  {read.source:{source if place else 0}}", styled(place, "dim")


def _short(value: object) -> str:
    """A value as it can stand in YAML, on one line."""
    text = value if isinstance(value, str) and value.isprintable() and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _request(explained: Explained, shown: dict[str, str]) -> Iterator[Line]:
    if explained.sent is None:
        yield f"  request: {explained.unsent}"
        return
    if (first := shown.setdefault(explained.sent.group[0], explained.row.id)) != explained.row.id:
        yield f"  {explained.sent.request.method} {explained.sent.request.path}  together with {first}, above"
        return
    for need in explained.sent.uses:
        yield f"  before it: {need}"
    together = f"  together with {', '.join(explained.sent.together)}" if explained.sent.together else ""
    yield f"  {explained.sent.request.method} {explained.sent.request.path}{together}"
    for line in json.dumps(explained.sent.request.body, indent=2, ensure_ascii=False, default=str).splitlines():
        yield Quoted(f"    {line}", ("dim",))


def _data(explained: Explained) -> dict[str, object]:
    """A row as data; the same keys whatever the row is."""
    row, sent, policy = explained.row, explained.sent, explained.policy
    return {
        "id": row.id,
        "entry": row.entry_id,
        "variant": row.variant,
        "axes": row.point,
        **asdict(explained.place),
        **record(explained, "runs", "reason"),
        "if": row.data.get("if"),
        "needs": explained.needs,
        "gate": {"gating": policy.gating if explained.undecided is None else None, "reason": gate(explained)},
        "cost": _cost_data(explained),
        "missing": explained.missing,
        "values": [_sourced(value, "path", "written", "value", "unknown") for value in explained.values],
        "reads": [_sourced(read, "path", "value", "unknown") for read in explained.reads],
        "request": sent and {**record(sent.request, "method", "path", "body"), **record(sent, "together", "uses")},
    }


def _cost_data(explained: Explained) -> dict[str, object]:
    return {
        "tests": None if explained.entry is None else tests_of(explained.entry),
        **record(explained.policy, "retries", "timeout_s"),
        **(money_data(explained.cost) if explained.cost is not None else {}),
    }


def _sourced(value: Value | Read, *names: str) -> dict[str, object]:
    """What a value is, and where it comes from; a fact of the build stands in no file."""
    place = asdict(value.place) if value.place is not None else dict.fromkeys(Place.__struct_fields__)
    return {**record(value, *names), "from": value.source, **place}
