"""`explain`: what a code means; or one entry, from the line of each of its values to the request that it becomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.cli.console import inert
from qarunner.cli.pages import CODE, pages, plain
from qarunner.diagnostics import choose
from qarunner.errors import ExitCode, ManifestError, UserError
from qarunner.secret import mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.cli.console import Console
    from qarunner.cli.explained import Explained, Explaining, Value
    from qarunner.cli.planning import Given
    from qarunner.manifest.model import Row

_WIDEST = 44
_HINT = "name an entry of the manifest, or a code such as E204"


def explain(console: Console, environ: Mapping[str, str], word: str, words: Given) -> ExitCode:
    """The page of a code, or the rows that an id or glob names. An entry goes before a code of the same name."""
    if not CODE.fullmatch(word):
        return _explain_rows(console, environ, word, words)
    if word[0].islower():  # no id has upper-case letters
        try:
            return _explain_rows(console, environ, word, words)
        except UserError:
            pass
    return explain_code(console, word)


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


# --- entries ----------------------------------------------------------------------------------------------------------


def _explain_rows(console: Console, environ: Mapping[str, str], word: str, words: Given) -> ExitCode:
    from qarunner.manifest.select import select, suggestion  # noqa: PLC0415  a code needs none of it

    explaining, rows = _explaining(environ, words)
    chosen = [row for row in rows if row.id == word] or select(rows, [word])
    if not chosen:
        raise UserError(f"no entry is called {word!r}", hint=suggestion(rows, word) if rows else _HINT)
    found = [explaining.row(row) for row in chosen]
    if console.output == "json":
        data = {"version": 1, "entries": [_data(each) for each in found]}
        console.result(mask(json.dumps(data, indent=2, ensure_ascii=False, default=str)))
        return ExitCode.OK
    for number, each in enumerate(found):
        for line in ([""] if number else []) + list(_text(console, each)):
            console.result(mask(line))
    return ExitCode.OK


def _explaining(environ: Mapping[str, str], words: Given) -> tuple[Explaining, tuple[Row, ...]]:
    from qarunner.cli import inputs  # noqa: PLC0415
    from qarunner.cli.build import read_build  # noqa: PLC0415
    from qarunner.cli.compiling import Choice, wanted  # noqa: PLC0415
    from qarunner.cli.explained import Explaining  # noqa: PLC0415
    from qarunner.cli.prepare import examined  # noqa: PLC0415
    from qarunner.manifest.variables import Values  # noqa: PLC0415

    path = inputs.find_manifest(words.file)
    found = examined(path, words.profile)
    if found.problems:
        raise ManifestError(found.problems)
    environ = inputs.with_env_files(environ, words.env_file)
    build = read_build(environ, Path.cwd())
    facts = build.facts
    choice = Choice(
        environ=environ,
        today=words.today,
        select=words.select,
        changed_since=words.changed_since,
        rerun_failed=words.rerun_failed,
        runs_dir=words.runs_dir,
    )
    explaining = Explaining(
        found,
        Values(env=environ, overrides=inputs.overrides(words.var), git=facts.git, ci=facts.ci),
        wanted=wanted(path, choice, build.sha),
        environ=environ,
        metadata=facts.metadata,
        today=words.today,
    )
    return explaining, found.rows


def _text(console: Console, found: Explained) -> Iterator[str]:
    yield f"{console.style(found.row.id, 'bold')}  {found.place}"
    runs = {True: ("runs", "green"), False: ("does not run", "yellow"), None: ("runs or not", "yellow")}[found.runs]
    yield f"  {console.style(*runs)}: {inert(found.reason)}"
    condition = found.row.data.get("if")
    if condition is not None:
        yield f"  if: {_short(condition)}"
    yield f"  {inert(gate(found))}"
    for line in needs(found):
        yield f"  {line}"
    yield f"  cost: {cost(found)}"
    if found.missing:
        yield f"  not set, and shown as templates: {', '.join(found.missing)}"
    yield ""
    yield from _table(console, found.values)
    yield ""
    yield from _request(console, found)


def gate(found: Explained) -> str:
    """Whether the verdict counts for the build, and why."""
    policy = found.policy
    if policy.quarantine is not None:
        held = policy.quarantine
        return f"does not gate until {held.until}: in quarantine, {held.reason} ({held.owner})"
    if policy.allow_failure:
        return "does not gate: allow_failure"
    ended = "; its quarantine has ended" if found.row.data.get("quarantine") else ""
    return f"gates: a failed or blocked test fails the build{ended}"


def needs(found: Explained) -> Iterator[str]:
    if found.needs:
        yield f"needs: {', '.join(found.needs)}; unless they pass it is skipped"


def cost(found: Explained) -> str:
    """How many tests, how often at most, and for how long."""
    from qarunner.plan.budget import is_guess, tests_of  # noqa: PLC0415

    entry, policy = found.entry, found.policy
    tests = "unknown" if entry is None else f"{tests_of(entry)}{' or more' if is_guess(entry) else ''}"
    more = [f"{policy.retries.failed} after failed tests"] if policy.retries.failed else []
    more += [f"{policy.retries.infra} after a failure of the vendor"] if policy.retries.infra else []
    again = f"1 run, and at most {' and '.join(more)}" if more else "1 run"
    return f"{tests} {'test' if tests == '1' else 'tests'}; {again}; at most {_duration(policy.timeout_s)} each"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    parts = [(whole // 3600, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")]
    return "".join(f"{number}{unit}" for number, unit in parts if number) or f"{seconds}s"


def _table(console: Console, values: tuple[Value, ...]) -> Iterator[str]:
    rows = [(each, _short(each.written)) for each in values]
    path = max((len(each.path) for each, _ in rows), default=0)
    text = min(max((len(shown) for _, shown in rows), default=0), _WIDEST)
    source = max((len(each.source) for each, _ in rows), default=0)
    for each, shown in rows:
        where = console.style(str(each.place), "dim")
        yield f"  {each.path:{path}}  {shown:{text}}  {each.source:{source}}  {where}"
        if each.value != each.written:
            yield f"  {'':{path}}  = {json.dumps(each.value, ensure_ascii=False)}"


def _short(value: object) -> str:
    """A value as it can stand in YAML, on one line."""
    text = value if isinstance(value, str) and value.isprintable() and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _request(console: Console, found: Explained) -> Iterator[str]:
    if found.sent is None:
        yield f"  request: {found.unsent}"
        return
    for need in found.sent.uses:
        yield f"  before it: {need}"
    together = f"  together with {', '.join(found.sent.together)}" if found.sent.together else ""
    yield f"  {found.sent.request.method} {found.sent.request.path}{together}"
    for line in json.dumps(found.sent.request.body, indent=2, ensure_ascii=False, default=str).splitlines():
        yield console.style(f"    {line}", "dim")


def _data(found: Explained) -> dict[str, object]:
    """A row as data; the same keys whatever the row is."""
    row, sent, policy = found.row, found.sent, found.policy
    return {
        "id": row.id,
        "entry": row.entry_id,
        "variant": row.variant,
        "axes": dict(row.axes),
        "file": found.place.file,
        "line": found.place.line,
        "column": found.place.column,
        "runs": found.runs,
        "reason": found.reason,
        "if": row.data.get("if"),
        "needs": list(found.needs),
        "gate": {"gating": policy.gating, "reason": gate(found)},
        "cost": _cost_data(found),
        "missing": list(found.missing),
        "values": [_value_data(each) for each in found.values],
        "request": None
        if sent is None
        else {
            "method": sent.request.method,
            "path": sent.request.path,
            "body": sent.request.body,
            "together": list(sent.together),
            "uses": list(sent.uses),
        },
    }


def _cost_data(found: Explained) -> dict[str, object]:
    from qarunner.plan.budget import tests_of  # noqa: PLC0415

    retries = found.policy.retries
    return {
        "tests": None if found.entry is None else tests_of(found.entry),
        "retries": {"failed": retries.failed, "infra": retries.infra},
        "timeout_s": found.policy.timeout_s,
    }


def _value_data(value: Value) -> dict[str, object]:
    return {
        "path": value.path,
        "written": value.written,
        "value": value.value,
        "from": value.source,
        "file": value.place.file,
        "line": value.place.line,
        "column": value.place.column,
    }
