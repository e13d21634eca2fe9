"""The repository at another revision, read through git and never checked out: no hook, filter or driver runs."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from qarunner.app.files import NAMES
from qarunner.errors import UserError
from qarunner.manifest.select import KEY, check_paths, concerns, patterns_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from qarunner.diagnostics import Diagnostic
    from qarunner.manifest.model import Manifest, Row


# ---------------------------------------------------------------------------------------------------------------------

# What git knows: which files there are, and which have changed since a commit.


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


GIT_S = 60.0


_MOST = 5000
"""Files that are looked at for the fragments of a manifest."""


_DEFAULT = ("origin/main", "origin/master", "main", "master")


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A revision to compare with. `wording` says for people how it was found."""

    commit: str
    wording: str


class Repository:
    """Git, asked in the folder of a manifest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def top(self) -> Path:
        """The repository's root. UserError if the folder is in none, or git cannot tell."""
        done = _run(self._folder, "rev-parse", "--show-toplevel")
        if done.returncode == 0:
            return Path(done.stdout.decode(errors="surrogateescape").rstrip("\n")).resolve()
        said = done.stderr.decode(errors="replace").strip().splitlines()
        if any("not a git repository" in line for line in said):
            hint = "name a file to compare with: qarunner diff OTHER.yml"
            raise UserError(f"{self._folder}: not in a git repository", hint=hint)
        raise UserError(f"git: {said[0] if said else 'failed'}", hint=" ".join(said[1:]) or None)

    def commit(self, name: str) -> str | None:
        """The commit of a name, if it is one."""
        found = self._ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return found.strip() or None

    def base(self, given: str | None, target: str | None) -> Base:
        """The commit to compare with: as given, else where this branch left its target or the default branch."""
        if given is not None:
            commit = self.commit(given)
            if commit is None:
                raise UserError(f"{given}: neither a revision of this repository nor a file", hint=self._hint())
            return Base(commit=commit, wording=_worded(given, commit))
        if self.commit("HEAD") is None:
            raise UserError("there is no commit yet to compare with", hint="commit the manifest first")
        branch = self._target(target)
        merge_base = self._ask("merge-base", "HEAD", str(self.commit(branch))).strip()
        if not merge_base:
            hint = self._hint() if self._shallow else f"name a revision: qarunner diff {branch}"
            raise UserError(f"HEAD and {branch} have no commit in common that is here", hint=hint)
        return Base(commit=merge_base, wording=f"{branch} (merge base {merge_base[:8]})")

    def _target(self, target: str | None) -> str:
        """The target of a pull request where the build has one, else the default branch."""
        head = self._ask("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD").strip()
        names = (f"origin/{target}", target) if target else (head, *_DEFAULT)
        found = next((name for name in names if name and self.commit(name) is not None), None)
        if found is None:
            what = "the branch that this build goes to" if target else "a default branch"
            raise UserError(f"{what} is not here: looked for {', '.join(filter(None, names))}", hint=self._hint())
        return found

    def _hint(self) -> str:
        if self._shallow:
            return (
                "this clone is shallow: fetch more of it (git fetch --unshallow; on GitHub, actions/checkout with "
                "fetch-depth: 0; on GitLab, GIT_DEPTH: 0), or name a revision that is here"
            )
        return "name a revision or a file: qarunner diff REVISION; `git fetch origin` brings what others pushed"

    @property
    def _shallow(self) -> bool:
        return self._ask("rev-parse", "--is-shallow-repository").strip() == "true"

    # --- files --------------------------------------------------------------------------------------------------------

    def path_of(self, file: Path) -> str:
        """A file's path in the repository. UserError if it lies outside."""
        try:
            return file.resolve().relative_to(self.top).as_posix()
        except ValueError:
            raise UserError(f"{file}: lies outside of the repository {self.top}") from None

    def earlier_path(self, commit: str, path: str) -> str | None:
        """Where a file stood at a commit: at the same path, or where git sees that it was renamed from."""
        if self._is_file(commit, path):
            return path
        words = ("diff", "--no-ext-diff", "--no-textconv", "-M", "--name-status", "--diff-filter=R", "-z", commit, "--")
        parts = self._ask(*words).split("\0")
        for old, new in zip(parts[1::3], parts[2::3], strict=False):
            if new == path:
                return old
        # A file that was not added yet is not seen by git; a manifest that went away most likely became this one.
        gone = [
            each for each in self._files(commit) if PurePosixPath(each).name in NAMES and not (self.top / each).exists()
        ]
        beside = [each for each in gone if PurePosixPath(each).parent == PurePosixPath(path).parent]
        return next((each[0] for each in (beside, gone) if len(each) == 1), None)

    def _is_file(self, commit: str, path: str) -> bool:
        return self._ask("cat-file", "-t", f"{commit}:{path}").strip() == "blob"

    def _files(self, commit: str) -> list[str]:
        return [path for path in self._ask("ls-tree", "-r", "-z", "--name-only", commit).split("\0") if path]

    def read(self, commit: str, path: str) -> bytes:
        """A file as it was committed."""
        done = _run(self.top, "cat-file", "blob", f"{commit}:{path}")
        if done.returncode != 0:
            raise UserError(f"{commit[:8]}:{path}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def write_fragments(self, commit: str, folder: Path) -> None:
        """Puts every YAML file of a commit into a folder: what a manifest's `include` may name. Links are left out."""
        listed = self._ask("ls-tree", "-r", "-z", commit).split("\0")
        blobs: dict[str, str] = {}
        for line in listed:
            about, _, path = line.partition("\t")
            mode, *rest = about.split(" ")
            if mode in {"100644", "100755"} and path.endswith((".yml", ".yaml")) and _inside(path):
                blobs[path] = rest[1]
        if len(blobs) > _MOST:
            raise UserError(f"{commit[:8]} has {len(blobs)} YAML files, at most {_MOST} are searched for fragments")
        for path, data in zip(blobs, self._contents(blobs.values()), strict=True):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    def _contents(self, blobs: Iterable[str]) -> list[bytes]:
        wanted = list(blobs)
        data = _run(self.top, "cat-file", "--batch", given="\n".join(wanted).encode() + b"\n").stdout
        found, at = [], 0
        for _ in wanted:
            end = data.index(b"\n", at)
            size = int(data[at:end].split()[2])
            found.append(data[end + 1 : end + 1 + size])
            at = end + 1 + size + 1
        return found

    def _ask(self, *words: str) -> str:
        done = _run(self.top, *words)
        return done.stdout.decode(errors="surrogateescape") if done.returncode == 0 else ""


def _inside(path: str) -> bool:
    """Git holds no such path; a folder must not be left even if it did."""
    return not any(part in {"..", ""} for part in PurePosixPath(path).parts) and not path.startswith("/")


def _worded(given: str, commit: str) -> str:
    return commit[:8] if commit.startswith(given) else f"{given} ({commit[:8]})"


def _run(folder: Path, *words: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    environ: Mapping[str, str] = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        return subprocess.run(  # noqa: S603  a list of words, no shell
            ["git", "-c", "core.fsmonitor=false", *words],  # noqa: S607  the user's own git
            cwd=folder,
            env=dict(environ),
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            timeout=GIT_S,
            check=False,
        )
    except FileNotFoundError:
        raise UserError("git is not installed", hint="name a file to compare with: qarunner diff OTHER.yml") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"git {words[0]} took more than {GIT_S:.0f} s") from None
