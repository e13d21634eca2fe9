"""`report`: what run folders say, in every format; joined with `--merge`, judged with `--verify`. No network."""

from __future__ import annotations

import posixpath
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from qarunner.app import reports as reporting
from qarunner.app.history import History
from qarunner.app.options import NextCommand, ReportOptions
from qarunner.app.runs import StoredRun, doubt, find_run, is_own_rehearsal, look_at, verified
from qarunner.cli.result import show_report
from qarunner.decode import collected
from qarunner.engine.decide.merge import merged, missing_manifest
from qarunner.engine.io.journal import JOURNAL, PLAN, by_age
from qarunner.errors import ExitCode, UserError
from qarunner.paths import manifest_from_root, repository_root, working_folder
from qarunner.report.summary import Summary, headline, summarise
from qarunner.report.union import labels, united
from qarunner.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from qarunner.cli.console import Console
    from qarunner.engine.state.run import Run


UNION = "qarunner report --merge --union --manifest apps/shop/qa-matrix.yml --manifest apps/api/qa-matrix.yml RUNS"


def report(console: Console, environ: Mapping[str, str], order: ReportOptions) -> ExitCode:
    """A report of one run, which is the newest without a name, or one of all."""
    if order.verify or order.commit or order.profile or order.max_age:
        return promotion(console, environ, order, time.time())
    if order.out is not None:  # whatever ends this command, no earlier report stays there
        reporting.claim_out(order.out, _form(order), order.runs_dir, environ, console.warn)
    if (order.union or order.manifest) and not (order.merge and order.union):
        raise UserError("--union goes with --merge, and --manifest with --union", hint=UNION)
    _check_form(console, order)
    if order.merge:
        return joined(console, environ, order)
    if len(order.runs) > 1:
        raise UserError("a report is of one run", hint="qarunner report --merge RUN… joins the runs of several jobs")
    run_id = order.runs[0] if order.runs else None
    return _rendered(console, environ, order, run_id)


def _form(order: ReportOptions) -> str:
    return order.form or ("html" if order.open else "json")


def _check_form(console: Console, order: ReportOptions) -> None:
    """UserError for a format that its reader cannot use."""
    form = _form(order)
    if order.open and form != "html":
        raise UserError(f"--open does not go with --format {form}", hint="it shows the HTML report")
    if order.open and order.merge and order.out is None:
        raise UserError("--open: a report of several runs needs a file", hint="add --out FILE")
    if not order.open and form == "html" and order.out is None and console.columns is not None:
        hint = "--open shows it in the browser; --out FILE writes it to a file"
        raise UserError("--format html: a terminal would show its source", hint=hint)


def _rendered(console: Console, environ: Mapping[str, str], order: ReportOptions, run_id: str | None) -> ExitCode:
    """Renders a report from what is on disk."""
    folder = find_run(order.runs_dir, run_id)
    stored = look_at(folder, environ, console.hide)
    if not is_own_rehearsal(stored.run, environ) and (why := doubt(stored)) is not None:
        console.warn(f"qarunner: warning: run {stored.folder.name}: {why}")
    follow = NextCommand.of(folder, stored.plan)
    summary = _remembered(console, environ, order, replace(summarise(stored.run), rerun=follow.rerun()))
    page = folder / _PAGE if order.open and order.out is None else None
    if problems := _write(console, summary, order, page):
        raise UserError(problems[0])
    return ExitCode.OK


_PAGE = "report.html"
"""In the run's folder, where it goes with the run."""


def _remembered(console: Console, environ: Mapping[str, str], order: ReportOptions, summary: Summary) -> Summary:
    history = History(order.runs_dir, environ)
    follow = NextCommand(run_id=summary.run_id, runs_dir=order.runs_dir)
    compared = history.about(replace(summary, resume=follow.resume()))
    if history.trouble:
        console.warn(f"qarunner: warning: the history {history.trouble}")
    return compared


def _write(console: Console, summary: Summary, order: ReportOptions, page: Path | None = None) -> list[str]:
    """Returns what could not be written. `page` is a file of the run folder, to which no named report goes."""
    path, form = page or order.out, _form(order)
    if path is None:
        show_report(console, summary, form)
        return []
    option = "" if page else f"--out {path}"
    target = reporting.ReportTarget(format=form, path=path, named=page is None, option=option)
    problems = reporting.write(summary, (target,), console.clean)
    if order.open and not problems:
        _show(console, path)
    return problems


def _show(console: Console, path: Path) -> None:
    """Opens a page in the browser; without a browser, its path has to do."""
    import webbrowser

    console.note(f"report: {path.as_posix()}")
    if not webbrowser.open(path.resolve().as_uri()):
        console.warn("qarunner: warning: no browser could be started: open the file yourself, or set BROWSER")


def joined(console: Console, environ: Mapping[str, str], order: ReportOptions) -> ExitCode:
    """Renders one report of all runs, and returns what their gate says."""
    if not order.runs:
        raise UserError("--merge: no run was named", hint="qarunner report --merge RUN… or FOLDER…")
    parts = [look_at(folder, environ, console.hide) for folder in _folders(order.runs_dir, order.runs)]
    if order.union:
        summary = _united(console, environ, order, parts)
    else:
        summary = _remembered(console, environ, order, summarise(_whole(console, parts, unsealed=order.unsealed)))
    if problems := _write(console, summary, order):
        from qarunner.app.apply.session import unwritten

        console.warn(f"qarunner: error: {problems[0]}")
        summary = unwritten(summary, problems)
    what = f"{plural(len(summary.manifests), 'matrix', 'matrices')}, " if summary.manifests else ""
    console.warn(f"{headline(summary)}; {what}{plural(summary.run_id.count('+') + 1, 'run')} joined")
    return summary.exit_code


def _whole(console: Console, parts: Sequence[StoredRun], *, unsealed: bool) -> Run:
    """The run of one matrix that its parts make. UserError for parts that do not belong together."""
    parts = _counting(console, parts)
    believed = [verified(part, unsealed=unsealed) for part in parts]
    _check(parts)
    for part in parts:
        if not part.run.complete:
            follow = NextCommand.of(part.folder)
            console.warn(f"qarunner: warning: run {part.run.run_id} is not finished; to go on: {follow.resume()}")
    missing = _missing(parts)
    for index, total in missing:
        console.warn(f"qarunner: warning: shard {index}/{total} is missing: no run of it was given")
    whole = merged([part.run for part in parts], missing)
    whole.unverified = whole.unverified or not all(believed)
    return whole


def _united(console: Console, environ: Mapping[str, str], order: ReportOptions, parts: Sequence[StoredRun]) -> Summary:
    """Several matrices as one summary. A manifest without a run has no verdict: never green."""
    groups = _by_manifest(order.manifest, parts)
    _check_alike(parts, _other_build, "of different builds", "join runs of one commit")
    names = labels(tuple(groups))
    summaries = []
    for path, group in groups.items():
        if group:
            run = _whole(console, group, unsealed=order.unsealed)
        else:
            console.warn(f"qarunner: warning: {path}: no run of it was given")
            run = missing_manifest(parts[0].run, path)
        summaries.append((names[path], _remembered(console, environ, order, summarise(run))))
    return united(summaries)


def _by_manifest(manifests: Sequence[Path], parts: Sequence[StoredRun]) -> dict[str, list[StoredRun]]:
    """The runs of each manifest that has to be there. UserError for a run of another one."""
    if not manifests:
        hint = "name each one, so that a missing run is noticed: --manifest apps/shop/qa-matrix.yml"
        raise UserError("--union: no --manifest was named", hint=hint)
    root = repository_root(working_folder())
    paths = dict.fromkeys(manifest_from_root(path, root) for path in manifests)
    groups: dict[str, list[StoredRun]] = {path: [] for path in paths}
    for part in parts:
        plan = part.run.plan
        keys = [plan.sources.manifest] if plan.sources is not None else []
        path = next((key for key in (*keys, posixpath.normpath(plan.manifest)) if key in groups), None)
        if path is None:
            manifest_named = keys[0] if keys else plan.manifest
            raise UserError(
                f"run {part.run.run_id} is of {manifest_named}, which no --manifest names",
                hint=f"add --manifest {shlex.quote(manifest_named)}, or leave the run out",
            )
        groups[path].append(part)
    return groups


def _check_alike(
    parts: Sequence[StoredRun], differences: Callable[[StoredRun, StoredRun], Iterable[str]], what: str, hint: str
) -> None:
    """UserError for runs in which anything differs that has to be the same."""
    first = parts[0]
    for part in parts[1:]:
        if different := list(differences(first, part)):
            raise UserError(f"{first.run.run_id} and {part.run.run_id} are {what}: {', '.join(different)}", hint=hint)


# --- whether a commit may go on ------------------------------------------------------------------------------------


_PARTIAL = ("select", "changed_since", "shard", "rerun_failed")
"""Choices that leave entries out: such a run says nothing about all of them."""


def promotion(console: Console, environ: Mapping[str, str], order: ReportOptions, now: float) -> ExitCode:
    """The code of the newest sealed run of all entries at a commit; 8 without such a run."""
    if not order.verify or order.commit is None or order.merge:
        raise UserError(
            "--verify goes with --commit, and without --merge", hint="report --verify --commit SHA --max-age 24h"
        )
    from qarunner.app.files import duration

    oldest = now - (duration("--max-age", order.max_age) or now)
    for folder in _folders(order.runs_dir, order.runs) if order.runs else by_age(order.runs_dir):
        try:
            stored = look_at(folder, environ, console.hide)
            if not _is_of(stored, order) or stored.run.last_at < oldest:
                continue
            believed = verified(stored, unsealed=False)
        except UserError as error:
            console.warn(f"qarunner: warning: {error.message}")
            continue
        if not believed:
            console.warn(f"qarunner: warning: run {folder.name}: {doubt(stored)}")
            continue
        summary = summarise(stored.run)
        console.conclude(f"{headline(summary)}; run {folder.name} of {order.commit}")
        return summary.exit_code
    where = f"commit {order.commit}" + (f", profile {order.profile}" if order.profile else "")
    aged = f" in the last {order.max_age}" if order.max_age else ""
    console.conclude(f"qarunner: exit {int(ExitCode.NO_VERDICT)}: no sealed run of all entries ended{aged} at {where}")
    return ExitCode.NO_VERDICT


def _is_of(stored: StoredRun, order: ReportOptions) -> bool:
    """True if a run is over, and of all entries of the commit and the profile."""
    sources = stored.plan.sources
    if stored.rehearsal or not stored.run.over or sources is None or stored.plan.git.get("sha") != order.commit:
        return False
    choices = sources.choices
    return choices.get("profile") == order.profile and not any(choices.get(name) for name in _PARTIAL)


# --- which runs -------------------------------------------------------------------------------------------------------


def _folders(runs_dir: Path, words: Sequence[str]) -> list[Path]:
    """Every run that the words name: an id, a run's folder, or a folder with runs somewhere in it. Each once."""
    folders: dict[Path, Path] = {}
    for word in words:
        matching = list(_run_folders(runs_dir, word))
        if not matching:
            where = f"neither a run in {runs_dir} nor a folder with one"
            hint = "a run's folder holds plan.json and journal.jsonl; an upload may have left hidden folders out"
            raise UserError(f"{word}: {where}", hint=hint)
        folders.update((folder.resolve(), folder) for folder in matching)
    return list(folders.values())


def _run_folders(runs_dir: Path, word: str) -> Iterator[Path]:
    for folder in (runs_dir / word, Path(word)):
        if (folder / PLAN).is_file():
            yield folder
            return
    if Path(word).is_dir():
        folders = sorted(path.parent for path in Path(word).rglob(PLAN))
        yield from (folder for folder in folders if not folder.name.startswith(".") and (folder / JOURNAL).is_file())


def _counting(console: Console, parts: Sequence[StoredRun]) -> list[StoredRun]:
    """One part for each shard, and one copy of each run: the one that holds, knows the most, or was started last."""
    copies: dict[str, StoredRun] = {}
    for part in sorted(parts, key=lambda part: (part.holds, part.run.last_at)):
        other = copies.get(part.run.run_id)
        if other is not None and other.holds is not part.holds:
            _refuse(console, other)
        copies[part.run.run_id] = part
    groups = collected((part.shard or part.run.run_id, part) for part in copies.values())
    kept = [_one_of(console, group) for group in groups.values()]
    return sorted(kept, key=lambda part: (part.shard or (0, 0), part.run.started_at))


def _one_of(console: Console, group: Sequence[StoredRun]) -> StoredRun:
    """The run that counts of those of one shard: a repeated job leaves several in one run of the CI."""
    able = [part for part in group if part.holds] or list(group)
    able.sort(key=lambda part: part.run.started_at)
    shard = "/".join(map(str, able[0].shard or ()))
    if len({part.pipeline for part in able}) > 1:
        names = ", ".join(f"{part.run.run_id} ({part.pipeline or 'no CI'})" for part in able)
        raise UserError(
            f"shard {shard} is there of several runs of the CI: {names}", hint="name the runs of one of them"
        )
    for part in group:
        if part not in able:
            _refuse(console, part)
        elif part is not able[-1]:
            name, other = able[-1].run.run_id, part.run.run_id
            console.warn(f"qarunner: note: shard {shard} was run twice: {name} counts, {other} does not")
    return able[-1]


def _refuse(console: Console, part: StoredRun) -> None:
    """A run that cannot be verified is no reason to stop if another run of the same shard holds."""
    console.warn(f"qarunner: warning: {part.folder} does not count: {doubt(part)}")


# --- whether they belong together -------------------------------------------------------------------------------------


def _check(parts: Sequence[StoredRun]) -> None:
    """UserError for runs that are not parts of one whole."""
    hint = "join runs of one commit, one manifest and the same options"
    _check_alike(parts, _different, "no parts of one whole", hint)
    owners: dict[str, str] = {}
    for part in parts:
        for entry in part.run.plan.entries:
            other = owners.setdefault(entry.id, part.run.run_id)
            if other != part.run.run_id:
                raise UserError(
                    f"{entry.id} is in {other} and in {part.run.run_id}: which one counts?",
                    hint="name the runs that share no entry",
                )


def _other_build(first: StoredRun, part: StoredRun) -> Iterator[str]:
    """In what two runs are of different builds; a rehearsal is a build of its own."""
    one, two = first.run.plan, part.run.plan
    if first.run.rehearsal != part.run.rehearsal or one.rehearsal != two.rehearsal:
        yield "one of them was a rehearsal"
    yield from (f"git.{key} differs" for key in ("sha", "repository") if one.git.get(key) != two.git.get(key))


def _different(first: StoredRun, part: StoredRun) -> Iterator[str]:
    one, two = first.run.plan, part.run.plan
    yield from _other_build(first, part)
    if (first.shard or (0, 0))[1] != (part.shard or (0, 0))[1]:
        yield f"{_words(first)}, {_words(part)}"
    elif one.partition != two.partition:
        yield "the rows were split differently"
    if one.name != two.name:
        yield f"the matrix is {one.name}, and {two.name}"
    if one.gate != two.gate:
        yield "the gate differs"
    if one.sources is None or two.sources is None:
        return
    for path in dict.fromkeys((*one.sources.files, *two.sources.files)):
        if one.sources.files.get(path) != two.sources.files.get(path):
            yield f"{path} differs"
    if first.shard is not None:
        yield from (f"--{key} differs" for key in _other_choices(one.sources.choices, two.sources.choices))


def _words(part: StoredRun) -> str:
    return f"one is shard {part.shard[0]}/{part.shard[1]}" if part.shard else "one is no shard"


def _other_choices(one: Mapping[str, object], two: Mapping[str, object]) -> Iterable[str]:
    return [key for key in dict.fromkeys((*one, *two)) if key != "shard" and one.get(key) != two.get(key)]


def _missing(parts: Sequence[StoredRun]) -> list[tuple[int, int]]:
    shards = [part.shard for part in parts if part.shard is not None]
    if not shards:
        return []
    total = shards[0][1]
    return [(index, total) for index in range(1, total + 1) if (index, total) not in shards]
