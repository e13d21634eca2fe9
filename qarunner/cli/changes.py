"""What git knows: which files there are, and which have changed since a commit."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from qarunner.errors import UserError
from qarunner.manifest.paths import KEY, check_paths, concerns, patterns_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from qarunner.diagnostics import Diagnostic
    from qarunner.manifest.model import Manifest, Row

_PATIENCE_S = 60.0
_DEEPER = "fetch the whole history: fetch-depth: 0 for actions/checkout, GIT_DEPTH: 0 in GitLab, git fetch --unshallow"


def untouched(ref: str, manifest: Path) -> Callable[[Row], str | None]:
    """Tells of a row why no change since `ref` concerns it; None where one does, and for a row without `paths`."""
    files = sorted(changed_since(ref, manifest.resolve().parent))
    known: dict[tuple[str, ...], bool] = {}

    def reason(row: Row) -> str | None:
        patterns = patterns_of(row)
        if patterns and patterns not in known:
            known[patterns] = concerns(patterns, files) is not None
        return f"nothing in its paths changed since {ref}" if patterns and not known[patterns] else None

    return reason


def unmatched_paths(path: Path, manifest: Manifest, rows: Sequence[Row]) -> tuple[Diagnostic, ...]:
    """Warnings for globs that match no file; none where git does not tell which files there are."""
    if not any(KEY in row.data for row in rows):
        return ()
    files = files_of(path.resolve().parent)
    return check_paths(manifest, rows, files) if files is not None else ()


class _Failed(Exception):  # noqa: N818  not an error yet: whoever asked knows what it means
    """Git ended with an error; its own words."""


def changed_since(ref: str, folder: Path) -> frozenset[str]:
    """Files that differ between the merge base of `ref` and HEAD, and the working tree; new ones are among them.

    Names begin at the repository's root. A file that was moved counts with both of its names.
    """
    root = _root(folder)
    base = _merge_base(ref, root)
    try:
        differing = _git(root, "diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", base, "--")
        new = _git(root, "ls-files", "--others", "--exclude-standard", "-z")
    except _Failed as failed:
        raise UserError(f"--changed-since {ref}: {failed}") from None
    return frozenset(name for name in (*differing.split("\0"), *new.split("\0")) if name)


def files_of(folder: Path) -> tuple[str, ...] | None:
    """The files that git has or would add, their names from the repository's root; None without a repository."""
    try:
        root = _root(folder)
        listed = _git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
        return tuple(name for name in listed.split("\0") if name)
    except (UserError, _Failed):
        return None


def _root(folder: Path) -> str:
    try:
        return _git(str(folder), "rev-parse", "--show-toplevel").strip("\n")
    except FileNotFoundError:
        raise UserError("--changed-since needs git, which is not installed", hint="or leave the option out") from None
    except _Failed as failed:
        raise UserError(f"--changed-since: {folder} is in no git repository: {failed}", hint=_SAFE) from None


_SAFE = "run it in a clone; of another user's clone git says which safe.directory it needs"


def _merge_base(ref: str, root: str) -> str:
    """The commit to compare with. UserError if git does not know the ref, or nothing that both have in common."""
    try:
        commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}").strip()
    except _Failed:
        raise _unknown(ref, root) from None
    try:
        return _git(root, "merge-base", commit, "HEAD").strip()
    except _Failed:
        hint = _DEEPER if _shallow(root) else "name a commit that HEAD descends from, or shares one with"
        raise UserError(f"--changed-since {ref}: git knows no common commit of it and HEAD", hint=hint) from None


def _unknown(ref: str, root: str) -> UserError:
    where = "; this clone is shallow" if _shallow(root) else ""
    hint = _DEEPER if where else f"git fetch origin, then name it as git branch --all does: origin/{ref}"
    return UserError(f"--changed-since {ref}: git knows no such commit{where}", hint=hint)


def _shallow(root: str) -> bool:
    try:
        return _git(root, "rev-parse", "--is-shallow-repository").strip() == "true"
    except _Failed:
        return False


def _git(folder: str, *words: str) -> str:
    """What git prints. _Failed with its words, FileNotFoundError without a git."""
    try:
        done = subprocess.run(  # noqa: S603  fixed words, and a ref behind --end-of-options
            ["git", *words],  # noqa: S607  the user's own git
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=_PATIENCE_S,
            check=False,
            env={**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
        )
    except subprocess.TimeoutExpired:
        raise _Failed(f"git {words[0]} took longer than {_PATIENCE_S:g} s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise _Failed(said[0] if said else f"git {words[0]} ended with {done.returncode}")
    return done.stdout
