"""What git says: one runner, always at the repository's root, that executes nothing which a checkout names.

A repository is read and never checked out. No hook, filter, pager or driver runs.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner.errors import UserError
from qarunner.known import Answer, Known, Refused, Unknown
from qarunner.paths import MANIFEST_NAMES, repository_root
from qarunner.regex import regex

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


# ---------------------------------------------------------------------------------------------------------------------

# The runner.


PATIENCE_S = 60.0
"""For each command."""


FETCH_S = 600.0
"""For the only one that asks another machine."""


_COMMIT = regex(r"[0-9a-f]{40,64}")


_SAFE = (
    "--no-pager",
    # A folder of a checkout that looks like a bare repository is not taken for one, whatever its `config` says.
    *("-c", "safe.bareRepository=explicit"),
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
)


_DIFF = ("diff", "--no-ext-diff", "--no-textconv", "-z")


_REDIRECTING = regex(
    r"GIT_(DIR|WORK_TREE|COMMON_DIR|INDEX_FILE|NAMESPACE|PREFIX|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES"
    r"|CEILING_DIRECTORIES|DISCOVERY_ACROSS_FILESYSTEM|IMPLICIT_WORK_TREE|INTERNAL_\w+|GRAFT_FILE|SHALLOW_FILE"
    r"|REPLACE_REF_BASE|NO_REPLACE_OBJECTS|ATTR_SOURCE|EXTERNAL_DIFF|DIFF_OPTS|PAGER|PAGER_IN_USE|\w+_PATHSPECS"
    r"|TRACE\w*|REDIRECT_\w+|CONFIG)"
)
"""Variables that lead git elsewhere, as a hook of git has them. Configuration stays: it may hold a safe.directory."""


_NOWHERE = "not in a git repository"


_FOREIGN = regex(r"dubious ownership|safe\.directory")


_FILTER = regex(r"filter\.(.+)\.(clean|smudge|process|required)", re.DOTALL)


class Git:
    """Git, asked at the root of the repository that a folder is in."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environ

    @cached_property
    def root(self) -> Path | None:
        """The repository's root; None where the folder is in none."""
        return repository_root(self._folder)

    def ask(self, *words: str, stdin: bytes = b"") -> Answer[bytes]:
        """What a command prints. Unknown if git says that it cannot."""
        done = self._run(words, stdin)
        if not isinstance(done, Known):
            return done
        return _failure(done.value, words[0]) or Known(done.value.stdout)

    def maybe(self, *words: str) -> Answer[str | None]:
        """The line that a command prints; Known(None) if it says by its exit code that there is none."""
        done = self._run(words, b"")
        if not isinstance(done, Known):
            return done
        if done.value.returncode == 1 and not done.value.stderr.strip():
            return Known(None)
        return _failure(done.value, words[0]) or Known(done.value.stdout.decode(errors="replace").strip() or None)

    def commit_of(self, name: str) -> Answer[str | None]:
        """The commit of a name; Known(None) if it is not one."""
        return self.maybe("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")

    @property
    def is_shallow(self) -> bool:
        """True if the clone does not have the whole history."""
        return self.maybe("rev-parse", "--is-shallow-repository") == Known("true")

    def names(self, *words: str) -> Answer[tuple[str, ...]]:
        """The names that a command prints with -z."""
        return _names_of(self.ask(*words))

    def diff(self, *words: str) -> Answer[tuple[str, ...]]:
        """The same of a `diff`, which compares files as they are: no filter of the configuration runs over them."""
        filters = self._run(("config", "--null", "--name-only", "--get-regexp", r"^filter\."), b"")
        if not isinstance(filters, Known):
            return filters
        keys = decoded(filters.value.stdout).split("\0")
        names = {match[1] for key in keys if (match := _FILTER.fullmatch(key))}
        if stubborn := next((name for name in names if "=" in name), None):
            return Unknown(f"a filter of git's configuration cannot be turned off: {stubborn!r} holds a =")
        off = {"clean": "", "smudge": "", "process": "", "required": "false"}
        settings = [f"filter.{name}.{key}={value}" for name in sorted(names) for key, value in off.items()]
        done = self._run((*_DIFF, *words), b"", settings)
        if not isinstance(done, Known):
            return done
        return _names_of(_failure(done.value, "diff") or Known(done.value.stdout))

    def tracks(self, path: Path) -> Answer[bool]:
        """True if git tracks a file, or anything in a folder. False without a repository."""
        if self.root is None:
            return Known(value=False)
        place = path.parent.resolve() / path.name
        if not place.is_relative_to(self.root):
            return Known(value=False)
        where = f":(top,literal,icase){place.relative_to(self.root).as_posix()}"
        listed = self.names("ls-files", "--cached", "-z", "--", where)
        if not isinstance(listed, Known):
            return listed
        depth = len(place.relative_to(self.root).parts)
        owners = {self.root.joinpath(*PurePosixPath(name).parts[:depth]) for name in listed.value}
        return Known(any(owner == place or _is_same(owner, place) for owner in owners))

    def fetch(self, commit: str) -> None:
        """Brings a commit that a shallow clone lacks. The caller sees by itself whether it came."""
        if _COMMIT.fullmatch(commit) and not isinstance(self.ask("cat-file", "-e", f"{commit}^{{commit}}"), Known):
            words = ("fetch", "--quiet", "--no-tags", "--depth=1", "origin", commit)
            self._run(words, b"", patience_s=FETCH_S)

    def _run(
        self, words: Sequence[str], stdin: bytes, settings: Sequence[str] = (), patience_s: float | None = None
    ) -> Answer[subprocess.CompletedProcess[bytes]]:
        """Known if git ran, and took the repository for one that it may read."""
        if self.root is None:
            return Unknown(_NOWHERE)
        program = _program(self._environ, self.root)
        if program is None:
            return Unknown("git is not installed")
        set_ = [word for setting in settings for word in ("-c", setting)]
        try:
            done = subprocess.run(  # noqa: S603  a list of words, no shell
                [program, *_SAFE, *set_, "-C", str(self.root), *words],
                cwd=self.root,
                env=_environ(self._environ, self.root),
                input=stdin,
                capture_output=True,
                timeout=patience_s or PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Unknown(f"git {words[0]} took longer than {patience_s or PATIENCE_S:g} s")
        except (OSError, ValueError) as error:
            return Unknown(f"git cannot be started: {error}")
        return _judged(done)


def _judged(done: subprocess.CompletedProcess[bytes]) -> Answer[subprocess.CompletedProcess[bytes]]:
    said = done.stderr.decode(errors="replace")
    if done.returncode and _FOREIGN.search(said):
        first, *rest = [line.strip() for line in said.splitlines() if line.strip()]
        return Refused(f"git: {first.removeprefix('fatal: ')}", " ".join(rest) or None)
    if done.returncode and "not a git repository" in said:
        return Unknown(_NOWHERE)
    return Known(done)


def _failure(done: subprocess.CompletedProcess[bytes], command: str) -> Unknown | None:
    """The first line of git's own words, if a command failed."""
    if not done.returncode:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return Unknown(next(iter(lines), None) or f"git {command} ended with {done.returncode}")


def _names_of(answer: Answer[bytes]) -> Answer[tuple[str, ...]]:
    """The names that a command printed with -z."""
    if not isinstance(answer, Known):
        return answer
    return Known(tuple(name for name in decoded(answer.value).split("\0") if name))


def decoded(output: bytes) -> str:
    """Names may hold any byte: each comes back as it was."""
    return output.decode(errors="surrogateescape")


def _program(environ: Mapping[str, str], root: Path) -> str | None:
    """The user's git. No folder of the checkout is searched, though some systems and many a PATH would do it."""
    endings = environ.get("PATHEXT", ".EXE").split(os.pathsep) if os.name == "nt" else [""]
    for folder in os.get_exec_path(dict(environ)):
        for ending in () if _is_below(folder, root) else endings:
            path = Path(folder) / f"git{ending}"
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    return None


def _environ(environ: Mapping[str, str], root: Path) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if not _REDIRECTING.fullmatch(name)}
    if any(_is_below(kept[name], root) for name in _SETTINGS if kept.get(name)):
        kept["GIT_CONFIG_GLOBAL"] = os.devnull
    # A root whose `.git` is broken does not stand for one above it; and nobody is there to be asked for a password.
    fixed = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    return {**kept, **fixed, "GIT_CEILING_DIRECTORIES": str(root.parent)}


_SETTINGS = ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL")
"""Where a user's settings are. Where a pipeline's home is its checkout, they are whatever somebody committed."""


def _is_below(path: str, root: Path) -> bool:
    """True in the checkout, and for a path that is relative to some folder of it."""
    return not os.path.isabs(path) or Path(path).resolve().is_relative_to(root)  # noqa: PTH117  the text of a variable


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def tracked(path: Path, environ: Mapping[str, str]) -> Answer[bool]:
    """True if git tracks a file, or anything in a folder. False where there is no repository."""
    return Git(path.parent, environ).tracks(path)


# ---------------------------------------------------------------------------------------------------------------------

# Which files there are, and which have changed since a commit.


DEEPER = "fetch the whole history: fetch-depth: 0 for actions/checkout, GIT_DEPTH: 0 in GitLab, git fetch --unshallow"


def changed_since(ref: str, git: Git) -> frozenset[str]:
    """Files that differ between the merge base of `ref` and HEAD, and the working tree; new ones are among them.

    Names begin at the repository's root. A file that was moved counts with both of its names; that of a submodule ends
    in `/`, whatever .gitmodules says of showing its changes.
    """
    base = _merge_base(ref, git)
    differing = git.diff("--raw", "--no-renames", "--ignore-submodules=untracked", base, "--")
    new = git.names("ls-files", "--others", "--exclude-standard", "-z")
    for answer in (differing, new):
        if not isinstance(answer, Known):
            raise UserError(f"--changed-since {ref}: {answer.why}", hint=answer.hint)
    changed = differing.value if isinstance(differing, Known) else ()
    pairs = zip(changed[::2], changed[1::2], strict=True)  # `:MODE MODE OBJECT OBJECT LETTER` and the name
    others = new.value if isinstance(new, Known) else ()
    return frozenset({*(_marked(name, about) for about, name in pairs), *others})


_SUBMODULE = "160000"


def _marked(name: str, modes: str) -> str:
    return f"{name}/" if _SUBMODULE in modes.lstrip(":").split(" ")[:2] else name


def files_of(git: Git) -> Answer[tuple[str, ...]]:
    """The files that git has or would add, their names from the repository's root; a submodule's ends in `/`."""
    staged, new = git.names("ls-files", "--stage", "-z"), git.names("ls-files", "--others", "--exclude-standard", "-z")
    if not isinstance(staged, Known):
        return staged
    if not isinstance(new, Known):
        return new
    pairs = (line.split("\t", 1) for line in staged.value)  # `MODE OBJECT STAGE`, a tab, and the name
    return Known((*dict.fromkeys(_marked(name, about) for about, name in pairs), *new.value))


def not_of_the_repository(files: Iterable[Path], root: Path, environ: Mapping[str, str]) -> frozenset[Path]:
    """Files that git neither has nor would add, such as ignored ones. Their paths have links resolved.

    A submodule that git has is a part of the repository. Where git cannot tell, no file is among them.
    """
    by_root: dict[Path | None, list[Path]] = {}
    for file in files:
        by_root.setdefault(repository_root(file.parent), []).append(file)
    foreign: set[Path] = set()
    for owner, members in by_root.items():
        if owner is None:
            continue
        if owner != root and Git(root, environ).tracks(owner) == Known(value=False):
            foreign.update(members)
        else:
            foreign |= _unknown_files(members, Git(owner, environ))
    return frozenset(foreign)


_AT_ONCE = 200
"""So many names stand on one command line: all systems take as many."""


def _unknown_files(files: Sequence[Path], git: Git) -> set[Path]:
    unknown: set[Path] = set()
    for start in range(0, len(files), _AT_ONCE):
        names = {file.relative_to(git.root or file.parent).as_posix(): file for file in files[start : start + _AT_ONCE]}
        words = ("ls-files", "--cached", "--others", "--exclude-standard", "-z", "--")
        known = git.names(*words, *(f":(top,literal,icase){name}" for name in names))
        if isinstance(known, Known):
            listed = {name.casefold() for name in known.value}
            unknown |= {file for name, file in names.items() if name.casefold() not in listed}
    return unknown


def _merge_base(ref: str, git: Git) -> str:
    """The commit to compare with. UserError if git does not know the ref, or nothing that both have in common."""
    commit = git.commit_of(ref)
    match commit:
        case Refused() | Unknown() if not _answers(git):
            hint = commit.hint or "run it in a clone, with git installed; or leave the option out"
            raise UserError(f"--changed-since {ref}: {commit.why}", hint=hint)
        case Known(str(name)):
            pass
        case _:
            raise _unknown(ref, git)
    base = git.maybe("merge-base", name, "HEAD")
    if isinstance(base, Known) and base.value:
        return base.value
    hint = DEEPER if git.is_shallow else "name a commit that HEAD descends from, or shares one with"
    raise UserError(f"--changed-since {ref}: git knows no common commit of it and HEAD", hint=hint)


def _answers(git: Git) -> bool:
    """True if git can be asked here at all."""
    return isinstance(git.ask("rev-parse", "--git-dir"), Known)


def _unknown(ref: str, git: Git) -> UserError:
    where = "; this clone is shallow" if git.is_shallow else ""
    hint = DEEPER if where else f"git fetch origin, then name it as git branch --all does: origin/{ref}"
    return UserError(f"--changed-since {ref}: git knows no such commit{where}", hint=hint)


# ---------------------------------------------------------------------------------------------------------------------

# The repository at another revision.


_MOST = 5000
"""Files that are looked at for the fragments of a manifest."""


_DEFAULT = ("origin/main", "origin/master", "main", "master")


_OTHER_FILE = "name a file to compare with: qarunner diff OTHER.yml"


class Base(Struct, frozen=True, kw_only=True):
    """A revision to compare with. `wording` says for people how it was found."""

    commit: str
    wording: str


class Repository(Git):
    """The repository of a manifest's folder, and what its commits hold."""

    @cached_property
    def top(self) -> Path:
        """The repository's root. UserError if the folder is outside of each, or git cannot say."""
        answer = self.ask("rev-parse", "--git-dir")
        if not isinstance(answer, Known) or self.root is None:
            why, hint = ("not in a git repository", None) if isinstance(answer, Known) else (answer.why, answer.hint)
            raise UserError(why, hint=hint or _OTHER_FILE)
        return self.root

    def commit(self, name: str) -> str | None:
        """The commit of a name, if it is one."""
        answer = self.commit_of(name)
        return answer.value if isinstance(answer, Known) else None

    def base(self, revision: str | None, target: str | None) -> Base:
        """The commit to compare with: as given, else where this branch left its target or the default branch."""
        if revision is not None:
            commit = self.commit(revision)
            if commit is None:
                raise UserError(f"{revision}: neither a revision of this repository nor a file", hint=self._hint())
            return Base(commit=commit, wording=_worded(revision, commit))
        if self.commit("HEAD") is None:
            raise UserError("there is no commit yet to compare with", hint="commit the manifest first")
        branch = self._target(target)
        merge_base = self._ask("merge-base", "HEAD", str(self.commit(branch))).strip()
        if not merge_base:
            hint = self._hint() if self.is_shallow else f"name a revision: qarunner diff {branch}"
            raise UserError(f"HEAD and {branch} have no commit in common that is here", hint=hint)
        return Base(commit=merge_base, wording=f"{branch} (merge base {merge_base[:8]})")

    def _target(self, target: str | None) -> str:
        """The target of a pull request where the build has one, else the default branch."""
        head = self._ask("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD").strip()
        names = (f"origin/{target}", target) if target else (head, *_DEFAULT)
        branch = next((name for name in names if name and self.commit(name) is not None), None)
        if branch is None:
            what = "the branch that this build goes to" if target else "a default branch"
            raise UserError(f"{what} is not here: looked for {', '.join(filter(None, names))}", hint=self._hint())
        return branch

    def _hint(self) -> str:
        if self.is_shallow:
            return f"this clone is shallow: {DEEPER}; or name a revision that is here"
        return "name a revision or a file: qarunner diff REVISION; `git fetch origin` brings what others pushed"

    # --- files --------------------------------------------------------------------------------------------------------

    def path_of(self, file: Path) -> str:
        """A file's path in the repository. UserError if it lies outside."""
        try:
            return file.resolve().relative_to(self.top).as_posix()
        except ValueError:
            raise UserError(f"{file}: lies outside of the repository {self.top}") from None

    def earlier_path(self, commit: str, path: str) -> str | None:
        """Where a file stood at a commit: at the same path, or where git sees that it was renamed from."""
        if self.has(commit, path):
            return path
        renamed = self.diff("-M", "--name-status", "--diff-filter=R", commit, "--")
        parts = renamed.value if isinstance(renamed, Known) else ()
        for old, new in zip(parts[1::3], parts[2::3], strict=False):
            if new == path:
                return old
        # A file that was not added yet is not seen by git; a manifest that went away most likely became this one.
        gone = [
            file
            for file in self._files(commit)
            if PurePosixPath(file).name in MANIFEST_NAMES and not (self.top / file).exists()
        ]
        beside = [file for file in gone if PurePosixPath(file).parent == PurePosixPath(path).parent]
        return next((file[0] for file in (beside, gone) if len(file) == 1), None)

    def has(self, commit: str, path: str) -> bool:
        """True if a commit has a file at a path."""
        return self._ask("cat-file", "-t", f"{commit}:{path}").strip() == "blob"

    def _files(self, commit: str) -> list[str]:
        return [path for path in self._ask("ls-tree", "-r", "-z", "--name-only", commit).split("\0") if path]

    def read(self, commit: str, path: str) -> bytes:
        """A file as it was committed."""
        blob = self.ask("cat-file", "blob", f"{commit}:{path}")
        if not isinstance(blob, Known):
            raise UserError(f"{commit[:8]}:{path}: {blob.why}", hint=blob.hint)
        return blob.value

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
            with contextlib.suppress(OSError):  # a name that this system cannot have is in no manifest that works here
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)

    def _contents(self, blobs: Iterable[str]) -> list[bytes]:
        wanted = list(blobs)
        answer = self.ask("cat-file", "--batch", stdin="\n".join(wanted).encode() + b"\n")
        data = answer.value if isinstance(answer, Known) else b""
        contents, at = [], 0
        for name in wanted:
            end = data.find(b"\n", at)
            head = data[at:end].split()
            if end < 0 or len(head) != 3:  # noqa: PLR2004  name, type and size; else git does not have it
                raise UserError(f"git cannot read the object {name}", hint=self._hint())
            size = int(head[2])
            contents.append(data[end + 1 : end + 1 + size])
            at = end + 1 + size + 1
        return contents

    def _ask(self, *words: str) -> str:
        answer = self.ask(*words)
        return decoded(answer.value) if isinstance(answer, Known) else ""


def _inside(path: str) -> bool:
    """Git holds no such path; a folder must not be left even if it did."""
    return not any(part in {"..", ""} for part in PurePosixPath(path).parts) and not path.startswith("/")


def _worded(revision: str, commit: str) -> str:
    return commit[:8] if commit.startswith(revision) else f"{revision} ({commit[:8]})"
