"""`diff`: the expanded matrix against another revision's or another file's. Offline; no variable needs to be set."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from qarunner.app import files as inputs
from qarunner.app.choosing import Hide, Inputs, RowFilter
from qarunner.app.ci import read_build
from qarunner.app.git import Repository
from qarunner.app.planning import manifest_reader, row_filter
from qarunner.diagnostics import in_order
from qarunner.errors import ExitCode, ManifestError, UserError
from qarunner.manifest.load import profile_names
from qarunner.manifest.rules import check_quarantines
from qarunner.manifest.select import select, suggestion, unmatched
from qarunner.paths import history_file, manifest_from_root, repository_root
from qarunner.review.compare import beyond, compare
from qarunner.review.model import Difference, Month, Side
from qarunner.review.reasons import notices
from qarunner.review.view import Review, month_of
from qarunner.text import inert_lines, styled

if TYPE_CHECKING:
    from datetime import date

    from qarunner.app.options import DiffOptions
    from qarunner.cli.console import Console
    from qarunner.manifest.base import BaseText


class _Seen(Struct, frozen=True, kw_only=True):
    """The surroundings of a diff. `hide` is called with values that no output may show."""

    environ: Mapping[str, str]
    hide: Hide


class _Earlier(Struct, frozen=True, kw_only=True):
    """What is compared with; no side where there was no manifest, or it cannot be read."""

    base: str
    wording: str
    side: Side | None
    warnings: tuple[str, ...] = ()
    under: _Sides | None = None
    """The same matrix under a profile; None where there is no matrix."""


def diff(console: Console, environ: Mapping[str, str], order: DiffOptions) -> ExitCode:
    """Prints what changed. 10 with --exit-code if anything did."""
    file = inputs.find_manifest(order.file)
    seen = _Seen(environ=environ, hide=console.hide)
    now = _reader(file, seen, order.today)
    after = now(order.profile)
    wanted = row_filter(file, order, environ, Inputs(), None)
    with ExitStack() as stack:
        earlier = _earlier(stack, seen, file, order)
        before, after, remarks = _chosen(earlier.side, after, wanted)
        difference = compare(before, after)
        month, remark = _month(difference, before, file, order.runs_dir, environ)
        remarks = (*remarks, *_of_earlier_run(wanted), *remark)
        review = Review(
            file=file.as_posix(),
            base=earlier.base,
            wording=earlier.wording,
            difference=difference,
            month=month,
            notices=notices(difference, before, after),
            warnings=(*earlier.warnings, *remarks),
        )
        if order.profile is None and before is not None:
            review = _with_profiles(review, earlier, before, after, now, wanted)
    _show(console, review, order)
    return ExitCode.CHANGES if order.exit_code and review else ExitCode.OK


def _month(
    difference: Difference, before: Side | None, file: Path, runs_dir: Path, environ: Mapping[str, str]
) -> tuple[Month | None, tuple[str, ...]]:
    """What the change costs a month, by what the history knows of the rows; and what is wrong with the history."""
    if before is None or not difference or not history_file(runs_dir).exists():
        return None, ()
    from qarunner.app.history import History  # most diffs have no history, and need not load the engine

    history = History(runs_dir, environ)
    known = history.times_run(manifest_from_root(file, repository_root(file.parent)), time.time())
    times = [known.get(row.id, 0) for row in before.rows]
    trouble = () if history.trouble is None else (f"the history {history.trouble}",)
    return month_of(difference.before, difference.after, times), trouble


MOST_PROFILED_ROWS = 20_000
"""Rows over all profiles that are compared: each profile costs as much as the matrix itself."""


def _with_profiles(
    review: Review, earlier: _Earlier, before: Side, after: Side, now: _Sides, wanted: RowFilter
) -> Review:
    """With what differs in single profiles alone: each compared with itself, a new one with the matrix that it changes.

    Which rows a new profile leaves out is no change of these.
    """
    earlier_names = profile_names(before.manifest.document)
    names = profile_names(after.manifest.document)
    if len(names) * max(len(before.rows), len(after.rows)) > MOST_PROFILED_ROWS:
        remark = f"{len(names)} profiles are not compared, as they are large: qarunner diff --profile NAME compares one"
        return replace(review, warnings=(*review.warnings, remark))
    reviews, remarks = [], []
    for name in names:
        is_new = name not in earlier_names
        try:
            assert earlier.under is not None  # noqa: S101  there is a side
            one, two, _ = _chosen(earlier.under(None if is_new else name), now(name), wanted)
        except UserError as error:
            remarks.append(f"profile {name} is not compared: {error.message}")
            continue
        whole = compare(one, two)
        whole = replace(whole, removed=()) if is_new else whole
        of_profile = beyond(whole, review.difference)
        if of_profile:
            changed = {change.after.id for change in of_profile.changed}
            notes = tuple(
                notice
                for notice in notices(whole, one, two)
                if notice not in review.notices or not changed.isdisjoint(notice.rows)
            )
            reviews.append(replace(review, difference=of_profile, month=None, notices=notes, warnings=(), profile=name))
    return replace(review, profiles=tuple(reviews), warnings=(*review.warnings, *remarks))


def _show(console: Console, review: Review, order: DiffOptions) -> None:
    if order.out is not None:
        whole = _whole(review, order.form, every_row=console.verbose)
        inputs.write_out(order.out, inert_lines(console.clean(whole)).encode())
        return
    if order.form == "text":
        from qarunner.review import text as review_text

        console.results(styled(text, style) for text, style in review_text.render(review, every_row=console.verbose))
        return
    whole = _whole(review, order.form, every_row=True)
    console.json(whole) if order.form == "json" else console.document(whole)


def _whole(review: Review, form: str, *, every_row: bool) -> str:
    from qarunner.review import json as review_json
    from qarunner.review import markdown as review_markdown
    from qarunner.review import text as review_text

    match form:
        case "json":
            return review_json.render(review)
        case "markdown":
            return review_markdown.render(review)
        case _:
            return "".join(f"{text}\n" for text, _ in review_text.render(review, every_row=every_row))


# --- the two sides ----------------------------------------------------------------------------------------------------


_Sides: TypeAlias = Callable[[str | None], Side]
"""A matrix as it stands, or under a profile. ManifestError if it has problems."""


def _reader(path: Path, seen: _Seen, today: date, copied_to: str = "", base: BaseText | None = None) -> _Sides:
    """Reads a manifest once, and expands it as often as it is asked. `base` is that of a copy."""
    check = manifest_reader(path, None if copied_to else seen.environ, hide=seen.hide, base=base)

    def side(profile: str | None) -> Side:
        checked = check(profile)
        # What today's date refuses is no fault of the matrix as it was.
        rows = () if copied_to else checked.evaluated.rows
        if problems := in_order([*checked.problems, *check_quarantines(checked.manifest, rows, today).errors]):
            raise ManifestError(problems)
        chosen = {row.id for row in select(checked.evaluated.rows, checked.manifest.select)}
        return Side(
            manifest=checked.manifest,
            rows=tuple(row for row in checked.rows if row.id in chosen),
            evaluated=checked.evaluated,
            vendors=checked.vendors,
            copied_to=copied_to,
        )

    return side


def _earlier(stack: ExitStack, seen: _Seen, file: Path, order: DiffOptions) -> _Earlier:
    base = order.base
    repository = Repository(file.parent, seen.environ)
    other = Path(base) if base is not None else None
    if other is not None and other.is_file() and (_looks_like_path(other) or not _known(repository, str(base))):
        if other.resolve() == file.resolve():
            raise UserError(
                f"{base}: is the manifest itself", hint=f"qarunner diff --file {base} compares it with the base branch"
            )
        sides = _reader(other, seen, order.today)
        return _Earlier(base=other.as_posix(), wording=other.as_posix(), side=sides(order.profile), under=sides)
    build = read_build(seen.environ, repository.top)
    revision = repository.base(base, build.base_branch)
    path = repository.path_of(file)
    earlier = repository.earlier_path(revision.commit, path)
    if earlier is None:
        warning = f"there was no {path} then: every row is new"
        return _Earlier(base=revision.commit, wording=revision.wording, side=None, warnings=(warning,))
    moved = () if earlier == path else (f"{path} was {earlier} then",)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qarunner-diff-"))).resolve()
    under, side, problem = _at_commit(repository, revision.commit, earlier, folder, order, seen)
    return _Earlier(base=revision.commit, wording=revision.wording, side=side, warnings=(*moved, *problem), under=under)


def _looks_like_path(path: Path) -> bool:
    return path.suffix in {".yml", ".yaml", ".json"} or path.is_absolute()


def _known(repository: Repository, name: str) -> bool:
    try:
        return repository.commit(name) is not None
    except UserError:
        return False


def _at_commit(
    repository: Repository, commit: str, path: str, folder: Path, order: DiffOptions, seen: _Seen
) -> tuple[_Sides | None, Side | None, tuple[str, ...]]:
    """The matrix of a commit, read from a copy of its YAML files in a folder of their own.

    One that is not valid is no error: unlike a file that the user names, it cannot be corrected.
    """
    (folder / ".git").mkdir()  # the end of the way up, as in the repository
    manifest = folder / path
    text = repository.read(commit, path)
    if b"include" in text:
        repository.write_fragments(commit, folder)
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_bytes(text)
    lock = inputs.lock_of(Path(path)).as_posix()
    if repository.has(commit, lock):
        inputs.lock_of(manifest).write_bytes(repository.read(commit, lock))
    try:
        under = _reader(manifest, seen, order.today, f"{folder.as_posix()}/", _base_then(repository, commit, seen))
        return under, under(order.profile), ()
    except ManifestError as error:
        reason = str(error.diagnostics[0])
    except UserError as error:
        reason = error.message
    reason = reason.replace(f"{folder.as_posix()}/", "")
    return None, None, (f"{path} was not valid then ({reason}): every row is shown as new",)


def _base_then(repository: Repository, commit: str, seen: _Seen) -> BaseText | None:
    """The base as the commit has it; as it is now, where it lies elsewhere."""
    now = inputs.base_of(seen.environ)
    if now is None:
        return None
    try:
        path = repository.path_of(Path(now.name))
    except UserError:
        return now
    return now._replace(text=repository.read(commit, path)) if repository.has(commit, path) else now


def _chosen(before: Side | None, after: Side, wanted: RowFilter) -> tuple[Side | None, Side, tuple[str, ...]]:
    """Both sides with the chosen rows alone, and a remark for each term that names nothing on either."""
    remarks: tuple[str, ...] = ()
    if wanted.select:
        rows = [side.values.get(row.id, row) for side in (before, after) if side for row in side.rows]
        missing = unmatched(rows, wanted.select)
        remarks = tuple(f"--select: {term!r} matches no entry; {suggestion(rows, term)}" for term in missing)
    return (_selected(before, wanted) if before else None), _selected(after, wanted), remarks


def _selected(side: Side, wanted: RowFilter) -> Side:
    """A side with those of its rows that an apply would choose, as far as their values are known."""
    chosen = {row.id for row in select([side.values.get(row.id, row) for row in side.rows], wanted.select)}
    if wanted.earlier is not None:
        chosen &= {*wanted.earlier.failed}
    touched = (row for row in side.rows if wanted.untouched is None or wanted.untouched(row) is None)
    return replace(side, rows=tuple(row for row in touched if row.id in chosen))


def _of_earlier_run(wanted: RowFilter) -> tuple[str, ...]:
    if wanted.earlier is None:
        return ()
    passed = f"every entry of run {wanted.earlier.run_id} passed: no row is compared"
    return (*wanted.earlier.remarks, *(() if wanted.earlier.failed else (passed,)))
