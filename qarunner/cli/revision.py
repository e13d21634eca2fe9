"""The repository at another revision, read through git and never checked out: no hook, filter or driver runs."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from qarunner.cli.inputs import NAMES
from qarunner.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
