"""`report --merge`: the runs of many jobs become one report and one gate, or it is said why they cannot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.cli import applying, reporting
from qarunner.cli.applying import read_plan
from qarunner.cli.console import inert
from qarunner.engine.journal import JOURNAL, PLAN, read
from qarunner.engine.merge import merged
from qarunner.engine.state import Run, fold
from qarunner.errors import UserError
from qarunner.report.planned import counted
from qarunner.report.summary import headline, summarise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qarunner.cli.console import Console
    from qarunner.errors import ExitCode
    from qarunner.plan.model import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run to be joined. `shard` is (1, 4) for the first of four; None if it was started without."""

    folder: Path
    run: Run
    shard: tuple[int, int] | None


def report(
    console: Console, runs_dir: Path, words: Sequence[str], *, merge: bool, form: str, out: Path | None
) -> ExitCode:
    """A report of one run, which is the newest where none is named, or one of all."""
    if merge:
        return joined(console, runs_dir, words, form=form, out=out)
    if len(words) > 1:
        raise UserError("a report is of one run", hint="qarunner report --merge RUN… joins the runs of several jobs")
    return applying.report(console, runs_dir, words[0] if words else None, form=form, out=out)


def joined(console: Console, runs_dir: Path, words: Sequence[str], *, form: str, out: Path | None) -> ExitCode:
    """Renders one report of all runs, and returns what their gate says."""
    reporting.checked_format(form, "--format")
    if not words:
        raise UserError("--merge: no run was named", hint="qarunner report --merge RUN… or FOLDER…")
    parts = _newest(console, [_part(folder) for folder in _folders(runs_dir, words)])
    _check(parts)
    for part in parts:
        if not part.run.complete:
            name = inert(part.run.run_id)
            console.warn(f"qarunner: warning: run {name} is not finished; to go on: qarunner resume {name}")
    missing = _missing(parts)
    for index, total in missing:
        console.warn(f"qarunner: warning: shard {index}/{total} is missing: no run of it was given")
    summary = summarise(merged([part.run for part in parts], missing))
    if out is None:
        console.result(reporting.render(summary, form).rstrip("\n"))
    else:
        problems = reporting.write(summary, (reporting.Wanted(format=form, path=out),))
        if problems:
            raise UserError(problems[0])
    console.warn(f"{headline(summary)}; {counted(len(parts), 'run')} joined")
    return summary.exit_code


# --- which runs -------------------------------------------------------------------------------------------------------


def _folders(runs_dir: Path, words: Sequence[str]) -> list[Path]:
    """Every run that the words name: an id, a run's folder, or a folder with runs somewhere in it. Each once."""
    found: dict[Path, Path] = {}
    for word in words:
        here = list(_found(runs_dir, word))
        if not here:
            where = f"neither a run in {runs_dir} nor a folder with one"
            hint = "a run's folder holds plan.json and journal.jsonl; an upload may have left hidden folders out"
            raise UserError(f"{word}: {where}", hint=hint)
        found.update((folder.resolve(), folder) for folder in here)
    return list(found.values())


def _found(runs_dir: Path, word: str) -> Iterator[Path]:
    for folder in (runs_dir / word, Path(word)):
        if (folder / PLAN).is_file():
            yield folder
            return
    if Path(word).is_dir():
        yield from sorted(path.parent for path in Path(word).rglob(PLAN) if (path.parent / JOURNAL).is_file())


def _part(folder: Path) -> Part:
    plan = read_plan(folder)
    run = fold(plan, read(folder)[0])
    run.run_id = run.run_id or folder.name
    return Part(folder=folder, run=run, shard=_shard(plan))


def _shard(plan: Plan) -> tuple[int, int] | None:
    if plan.shard is None:
        return None
    index, _, total = plan.shard.partition("/")
    return int(index), int(total)


def _newest(console: Console, parts: Sequence[Part]) -> list[Part]:
    """One part for each shard, and one copy of each run: the one that knows the most, or was started last."""
    copies: dict[str, Part] = {}
    for part in sorted(parts, key=lambda part: part.run.last_at):
        copies[part.run.run_id] = part
    kept: dict[object, Part] = {}
    for part in sorted(copies.values(), key=lambda part: part.run.started_at):
        key = part.shard or part.run.run_id
        if key in kept:
            old = kept[key].run.run_id
            shard = "/".join(map(str, part.shard or ()))
            console.warn(f"qarunner: note: shard {shard} was run twice: {part.run.run_id} counts, {old} does not")
        kept[key] = part
    return sorted(kept.values(), key=lambda part: (part.shard or (0, 0), part.run.started_at))


# --- whether they belong together -------------------------------------------------------------------------------------


def _check(parts: Sequence[Part]) -> None:
    """UserError for runs that are not parts of one whole."""
    first = parts[0]
    for part in parts[1:]:
        different = list(_different(first, part))
        if different:
            names = f"{inert(first.run.run_id)} and {inert(part.run.run_id)}"
            raise UserError(
                f"{names} are no parts of one whole: {', '.join(different)}",
                hint="join runs of one commit, one manifest and the same options",
            )
    owners: dict[str, str] = {}
    for part in parts:
        for entry in part.run.plan.entries:
            other = owners.setdefault(entry.id, part.run.run_id)
            if other != part.run.run_id:
                raise UserError(
                    f"{entry.id} is in {inert(other)} and in {inert(part.run.run_id)}: which one counts?",
                    hint="name the runs that share no entry",
                )


def _different(first: Part, part: Part) -> Iterator[str]:
    one, two = first.run.plan, part.run.plan
    if first.run.rehearsal != part.run.rehearsal or one.rehearsal != two.rehearsal:
        yield "one of them was a rehearsal"
    if (first.shard or (0, 0))[1] != (part.shard or (0, 0))[1]:
        yield f"{_words(first)}, {_words(part)}"
    elif one.partition != two.partition:
        yield "the rows were split differently"
    if one.name != two.name:
        yield f"the matrix is {one.name}, and {two.name}"
    yield from (f"git.{key} differs" for key in ("sha", "repository") if one.git.get(key) != two.git.get(key))
    if one.gate != two.gate:
        yield "the gate differs"
    if one.sources is None or two.sources is None:
        return
    for path in dict.fromkeys((*one.sources.files, *two.sources.files)):
        if one.sources.files.get(path) != two.sources.files.get(path):
            yield f"{path} differs"
    if first.shard is not None:
        yield from (f"--{key} differs" for key in _other_choices(one.sources.choices, two.sources.choices))


def _words(part: Part) -> str:
    return f"one is shard {part.shard[0]}/{part.shard[1]}" if part.shard else "one is no shard"


def _other_choices(one: object, two: object) -> Iterable[str]:
    if not isinstance(one, dict) or not isinstance(two, dict):
        return ()
    return [key for key in dict.fromkeys((*one, *two)) if key != "shard" and one.get(key) != two.get(key)]


def _missing(parts: Sequence[Part]) -> list[tuple[int, int]]:
    shards = [part.shard for part in parts if part.shard is not None]
    if not shards:
        return []
    total = shards[0][1]
    return [(index, total) for index in range(1, total + 1) if (index, total) not in shards]
