"""Files by name: manifests, fragments, builds and env files in; reports out, each written whole."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from qarunner.app.options import BASE_VARIABLE
from qarunner.diagnostics import Diagnostic, Place, closest, in_order
from qarunner.errors import ManifestError, UserError
from qarunner.manifest.base import BaseText
from qarunner.manifest.codes import Code
from qarunner.manifest.load import BadGlob, Finder, NamedFile, has_matrix
from qarunner.manifest.lock import Lock
from qarunner.manifest.lock import parse as parse_lock
from qarunner.manifest.lock import unreadable as unreadable_lock
from qarunner.manifest.model import seconds
from qarunner.manifest.templates.env import Names, as_variable, checked_naming
from qarunner.manifest.templates.secret_access import checked_word
from qarunner.manifest.yaml.reader import Document
from qarunner.manifest.yaml.reader import read as read_yaml
from qarunner.paths import (
    GIT,
    MANIFEST_NAMES,
    PathRefused,
    inside,
    is_below,
    manifest_root,
    nearest_manifest,
    read_regular,
    refuse_input,
    write_whole,
)
from qarunner.plan.capabilities import misfit
from qarunner.regex import regex
from qarunner.vendors.api import Build, BuildRules, Complaint

if TYPE_CHECKING:
    from dotenv.parser import Original

    from qarunner.plan.model import Plan


# ---------------------------------------------------------------------------------------------------------------------

# What comes from outside: the manifest's file, the environment, and the words on the command line.


def find_manifest(named: Path | None) -> Path:
    """The manifest: as given, or in this folder or the nearest parent up to the repository's root."""
    if named is not None:
        return named
    nearest = nearest_manifest()
    if nearest is not None:
        return nearest
    raise UserError(
        f"no manifest: looked for {' and '.join(MANIFEST_NAMES)} here and up to the repository's root",
        hint="name the file, or write one; `qarunner schema` prints what can stand in it",
    )


def read_manifest(path: Path, environ: Mapping[str, str] | None = None) -> tuple[str, bytes]:
    """A manifest's name for messages, and its bytes. UserError for a link to what is no manifest of its repository.

    `environ` is what git runs with; None for a copy of files that git itself gave.
    """
    try:
        root = manifest_root(path)
        real = inside(path, root)
        data = read_regular(real)
        if path.is_symlink():
            _refuse_stranger(real, data, root, environ)
        return path.as_posix(), data
    except IsADirectoryError:
        raise UserError(
            f"{path}: is a folder, not a file", hint=f"name the file in it: {path / MANIFEST_NAMES[0]}"
        ) from None
    except PathRefused as error:
        hint = "a manifest is a regular file; it may be a link to one in its own repository"
        raise UserError(f"{path}: cannot be read: it {error.strerror}", hint=hint) from error
    except OSError as error:
        slashed = str(Path(str(path).replace("\\", "/")))
        way = f"here, folders are divided by /: {slashed}" if os.sep == "/" and slashed != str(path) else None
        raise UserError(f"{path}: cannot be read: {error.strerror}", hint=way) from error


def _refuse_stranger(real: Path, data: bytes, root: Path, environ: Mapping[str, str] | None) -> None:
    """PathRefused for a link's target that is no manifest: messages would show what stands in it."""
    if real.suffix not in _ENDINGS:
        raise PathRefused(f"is a link to a file that does not end in {' or '.join(_ENDINGS)}")
    if not has_matrix(data):
        raise PathRefused("is a link to a file without a matrix at its top")
    if environ is not None:
        from qarunner.app.git import not_of_the_repository

        if not_of_the_repository([real], root, environ):
            raise PathRefused("is a link to a file that git ignores, or that belongs to another repository")


def base_of(environ: Mapping[str, str]) -> BaseText | None:
    """The base that the pipeline names. UserError where it is no file."""
    name = environ.get(BASE_VARIABLE)
    if not name:
        return None
    try:
        return BaseText(Path(name).as_posix(), read_regular(Path(name)))
    except OSError as error:
        hint = f"--base and {BASE_VARIABLE} name a YAML file with what holds for all manifests"
        raise UserError(f"--base {name}: cannot be read: {error.strerror}", hint=hint) from error


def lock_of(manifest: Path) -> Path:
    """The lock beside a manifest: `qa-matrix.lock`."""
    return manifest.with_suffix(".lock")


def read_lock(manifest: Path) -> Lock | None:
    """A manifest's lock; None where there is none. ManifestError for a file that cannot be taken."""
    path = lock_of(manifest)
    try:
        real = inside(path, manifest_root(manifest))
        if path.is_symlink():
            raise PathRefused("is a link, and could be one to any file")
        data = read_regular(real)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ManifestError([unreadable_lock(path.as_posix(), str(error.strerror))]) from error
    return parse_lock(path.as_posix(), data)


class FileVariable(Struct, frozen=True):
    """A variable that a file gives, and its line. `listed`: it stands there as a list; its text is then JSON."""

    name: str
    text: str
    place: Place
    listed: bool = False


class EnvFiles(Struct, frozen=True, kw_only=True):
    """What env files give: `values` of declared variables, and `keys` of vendors. `problems` are of other lines."""

    values: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Diagnostic, ...] = ()


_NEVER_IN_FILES = regex(
    r"QARUNNER_.*|(?:HTTPS?|ALL|NO|FTP)_PROXY|(?:REQUESTS|CURL)_CA_BUNDLE|SSL_CERT_(?:FILE|DIR)", re.IGNORECASE
)
"""What decides where requests and secrets go: an env file may come from the checkout, and these may not."""


def read_env_files(files: Iterable[Path]) -> tuple[FileVariable, ...]:
    """The lines of env files, in their order. ManifestError for lines that cannot be taken, whatever is declared."""
    variables: list[FileVariable] = []
    problems: list[Diagnostic] = []
    for file in files:
        _read_env_file(file, variables, problems)
    if problems:
        raise ManifestError(in_order(problems))
    return tuple(variables)


def _read_env_file(file: Path, variables: list[FileVariable], problems: list[Diagnostic]) -> None:
    from dotenv.parser import parse_stream

    text = _read_text("--env-file", file)
    # Not interpolated: a value is what stands in the file, as `docker --env-file` reads it.
    for line in parse_stream(io.StringIO(text)):
        place = Place(file=file.as_posix(), line=_first_line(line.original), column=1)
        if line.error or (line.key is not None and line.value is None):
            problems.append(_bad_line(place, "this line is no assignment", "write NAME=value, one a line"))
        elif line.key is not None and _NEVER_IN_FILES.fullmatch(line.key):
            message = f"{line.key} cannot be set in an env file"
            problems.append(_bad_line(place, message, "set it in the environment of the pipeline"))
        elif line.key is not None and line.value is not None:
            variables.append(FileVariable(line.key, line.value, place))


def _first_line(original: Original) -> int:
    """Blank lines before an assignment belong to it, for the parser."""
    blank = original.string[: len(original.string) - len(original.string.lstrip())]
    return original.line + blank.count("\n")


def _bad_line(place: Place, message: str, hint: str) -> Diagnostic:
    """The line itself is not shown: it may hold a secret."""
    return Diagnostic(code=Code.ENV_FILE, message=message, place=place, hint=hint)


def sorted_out(lines: Iterable[FileVariable], declared: Collection[str], keys: Collection[str]) -> EnvFiles:
    """What the lines of env files are, once the manifest is known. Of two lines of a name the later one counts."""
    values: dict[str, str] = {}
    credentials: dict[str, str] = {}
    problems: list[Diagnostic] = []
    for line in lines:
        if line.name in declared:
            values[line.name] = line.text
        elif line.name in keys:
            credentials[line.name] = line.text
        else:
            near = closest(line.name, declared)
            hint = f"did you mean {near}?" if near else "declare it under env, or remove the line"
            message = "an env file holds variables that the manifest declares and vendors' keys, and this is neither"
            problems.append(_bad_line(line.place, message, hint))
    return EnvFiles(values=values, keys=credentials, problems=tuple(problems))


def read_var_files(files: Iterable[Path]) -> tuple[FileVariable, ...]:
    """Values of variables in YAML or JSON files, in their order. ManifestError for what is no value."""
    variables: list[FileVariable] = []
    problems: list[Diagnostic] = []
    for file in files:
        try:
            document = read_yaml(file.as_posix(), _read_text("--var-file", file).encode(), start="NAME: value")
        except ManifestError as error:
            problems += (replace(diagnostic, source=None) for diagnostic in error.diagnostics)
            continue
        for name, value in document.data.items():
            wrong = list(_no_value(document, name, value))
            problems += wrong
            if not wrong:
                listed = isinstance(value, list)
                variables.append(FileVariable(name, as_variable(value) or "", document.locate((name,)), listed=listed))
    if problems:
        raise ManifestError(in_order(problems))
    return tuple(variables)


def _no_value(document: Document, name: str, value: object) -> Iterator[Diagnostic]:
    """What in a --var-file is no value of a variable: neither a scalar, nor a list of scalars."""
    parts: dict[tuple[str | int, ...], object] = {(name,): value}
    if isinstance(value, list) and value:
        parts = {(name, index): item for index, item in enumerate(value)}
    for path, part in parts.items():
        place, text = document.locate(path), None if isinstance(part, list) and len(path) > 1 else as_variable(part)
        if text is None:
            what = "an item of a list" if len(path) > 1 else "the value of a variable"
            message, hint = f"{name}: {what} is a text, a number, true or false", "write NAME: value, or NAME: [a, b]"
            yield Diagnostic(code=Code.VAR_FILE, message=message, place=place, hint=hint)
        elif isinstance(part, (int, float)) and not isinstance(part, bool) and not _stands_at(document, place, text):
            message = f"{name}: this number would become {text}"
            yield Diagnostic(code=Code.VAR_FILE, message=message, place=place, hint="write it in quotes")


def _stands_at(document: Document, place: Place, text: str) -> bool:
    """True if a number is written as it will be used: 1.10 is not, and most likely a version."""
    written = (document.source_line(place) or "")[place.column - 1 :]
    return re.match(rf"{re.escape(text)}(?![\w.])", written) is not None


def _read_text(option: str, file: Path) -> str:
    """A file of values. UserError if it cannot be read, as a pipe or a device cannot."""
    try:
        return io.StringIO(read_regular(file).decode("utf-8-sig"), newline=None).read()
    except UnicodeDecodeError as error:
        raise UserError(f"{option} {file}: is not UTF-8") from error
    except OSError as error:
        raise UserError(f"{option} {file}: cannot be read: {error.strerror}") from error


def write_out(path: Path, data: bytes) -> None:
    """Writes the file that --out names. UserError if it cannot be written."""
    try:
        refuse_input(path)
        write_whole(path, data, device=True)
    except OSError as error:
        raise UserError(f"--out {path}: cannot be written: {error.strerror}") from error


def overrides(words: Iterable[str]) -> dict[str, str]:
    """`K=V` words as a mapping. UserError for one without `=`."""
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UserError(f"--var {word}: not of the form K=V", hint="such as --var LOCALE=de")
        values[name] = value
    return values


def named_variables(environ: Mapping[str, str], words: Iterable[str]) -> Names:
    """The names and globs that --env and QARUNNER_ENV give, commas allowed in both."""
    names = []
    for option, listed in (("QARUNNER_ENV", (environ.get("QARUNNER_ENV", ""),)), ("--env", tuple(words))):
        for word in (word_listed.strip() for text in listed for word_listed in text.split(",")):
            if word:
                names.append(checked_naming(word, option))
            elif option == "--env":
                raise UserError("--env: names no variable", hint="such as --env STAGING_URL")
    return Names(tuple(names))


def allowed_secrets(environ: Mapping[str, str], words: Iterable[str]) -> frozenset[str]:
    """The words of --allow-secret and QARUNNER_ALLOW_SECRETS, commas allowed in both: NAME@HOST, NAME@VENDOR, NAME."""
    options = tuple(words)
    for word in options:
        if not word.strip(" ,"):
            raise UserError(
                f"--allow-secret {word!r}: names no variable", hint="such as --allow-secret TOKEN@shop.example.com"
            )
    listed = ",".join([environ.get("QARUNNER_ALLOW_SECRETS", ""), *options])
    return frozenset(checked_word(word.strip()) for word in listed.split(",") if word.strip())


def duration(option: str, text: str | None) -> float | None:
    """An option's duration in seconds. UserError if it is malformed, or zero."""
    if text is None:
        return None
    try:
        length = seconds(text)
    except ValueError:
        length = 0.0
    if length <= 0:
        raise UserError(f"{option} {text}: not a duration", hint="write 200ms, 30s, 10m or 1h30m")
    return length


# ---------------------------------------------------------------------------------------------------------------------

# The files that a manifest's `include` names: found, and kept inside the repository.


_WILD = frozenset("*?[")


_ENDINGS = (".yml", ".yaml")


_MOST_DEEP = 2


def finder(manifest: Path, environ: Mapping[str, str] | None) -> Finder:
    """Finds fragments beside a manifest, in the order of their names.

    `environ` is what git runs with; None for a copy of files that git itself gave.
    """

    def find(glob: str) -> list[NamedFile]:
        if glob.startswith("/") or Path(glob).is_absolute():
            raise BadGlob("is absolute")
        root = manifest_root(manifest)
        if _leaves(manifest.parent.resolve().relative_to(root), glob):
            raise BadGlob("lies outside of the repository")
        wild = not _WILD.isdisjoint(glob)
        parts = [part for part, following in pairwise([*glob.split("/"), ""]) if not part == following == "**"]
        if parts.count("**") > _MOST_DEEP:
            raise BadGlob(f"has more than {_MOST_DEEP} `**`")  # each multiplies the folders that are looked into
        try:
            paths = sorted(manifest.parent.glob("/".join(parts)), key=lambda path: path.as_posix())
        except (ValueError, NotImplementedError, OSError) as error:
            raise BadGlob(f"is no glob: {error}") from None
        manifest_file = manifest.resolve()
        files = [path for path in paths if not (wild and (path.is_dir() or is_below(path, GIT)))]
        if not all(path.parent.resolve().is_relative_to(root) for path in files):
            # Not even the names of what lies there are shown.
            raise BadGlob("leads out of the repository by a link")
        return _without_strangers([_named_file(path, manifest_file, root) for path in files], root, environ)

    return find


def _without_strangers(files: list[NamedFile], root: Path, environ: Mapping[str, str] | None) -> list[NamedFile]:
    """A file that git ignores is no part of the repository: what it holds was never meant to be seen."""
    if environ is None:
        return files
    from qarunner.app.git import not_of_the_repository

    strangers = not_of_the_repository((Path(file.key) for file in files if file.refusal is None), root, environ)
    refusal = "is ignored by git, or belongs to another repository: it is not read as a fragment"
    return [replace(file, text=b"", refusal=refusal) if Path(file.key) in strangers else file for file in files]


def _leaves(folder: Path, glob: str) -> bool:
    """True if the dots of a glob lead above the root that `folder` is relative to."""
    depth = len(folder.parts)
    for part in Path(glob).parts:
        depth += -1 if part == ".." else 0 if part == "**" else 1
        if depth < 0:
            return True
    return False


def _named_file(path: Path, manifest_file: Path, root: Path) -> NamedFile:
    name = Path(os.path.normpath(path)).as_posix()
    shown = os.fsencode(name).decode(errors="backslashreplace")
    try:
        real = inside(path, root)
        refusal = _refusal(path, real, manifest_file)
        text = b"" if refusal else read_regular(real)
    except PathRefused as error:
        return NamedFile(name=shown, key=name, refusal=error.strerror)
    except OSError as error:
        return NamedFile(name=shown, key=name, refusal=f"cannot be read: {error.strerror}")
    return NamedFile(name=name, key=str(real), text=text, refusal=refusal)


def _refusal(path: Path, real: Path, manifest_file: Path) -> str | None:
    if real == manifest_file:
        return "is the manifest itself: write a glob that does not match it"
    if real.is_dir():
        return f"is a folder: write {real.name}/*.yml"
    if not (path.name.endswith(_ENDINGS) and real.name.endswith(_ENDINGS)):
        return f"does not end in {' or '.join(_ENDINGS)}: no other file is read as a fragment"
    return None


# ---------------------------------------------------------------------------------------------------------------------

# Local builds: found, kept inside the repository, and measured once.


_PATH = ("target", "binary")


def measurer(manifest: Path) -> Callable[[str, BuildRules | None], Build | Complaint]:
    """Reads builds whose paths are relative to the manifest's folder; each content is read once."""
    folder, root = manifest.resolve().parent, manifest_root(manifest)
    known: dict[Path, Build] = {}
    from qarunner.engine.io import uploads

    def measure(text: str, rules: BuildRules | None) -> Build | Complaint:
        path = _located(folder, root, text)
        if isinstance(path, Complaint):
            return path
        try:
            wrong = _unfit(path, text, rules)
            if wrong is None and path not in known:
                known[path] = uploads.measure(path, _name(path))
        except OSError as error:
            return Complaint(path=_PATH, message=f"{text}: cannot be read: {error.strerror or error}")
        return wrong or known[path]

    return measure


def _located(folder: Path, root: Path, text: str) -> Path | Complaint:
    from qarunner.engine.io.uploads import BASE_APK

    try:
        path = _build_inside(folder / text, root)
    except PathRefused as error:
        return Complaint(path=_PATH, message=f"{text}: {error.strerror}", hint=f"the repository is {root.name}")
    except OSError:
        return Complaint(
            path=_PATH, message=f"{text}: no such file", hint="build it first; paths begin at the manifest's folder"
        )
    if path.is_dir() and not (path / BASE_APK).is_file():
        return Complaint(path=_PATH, message=f"{text}: a folder of split APKs holds {BASE_APK}, this one does not")
    return path


def _build_inside(path: Path, root: Path) -> Path:
    """A build, with links resolved. OSError if it, or a file of its folder, is not ours."""
    real = inside(path, root)
    for file in real.iterdir() if real.is_dir() else ():
        inside(file, root)
    return real


def check_paths(plan: Plan, root: Path) -> None:
    """UserError for a path of a plan that somebody else may have written, as if it stood in a manifest."""
    if plan.reports and not Path(plan.manifest).resolve().is_relative_to(root):
        raise UserError(
            f"{plan.manifest}: lies outside of the repository, and the plan's reports would be written beside it",
            hint="go on where the apply was started, in the repository of its manifest",
        )
    for build in (resource.build for resource in plan.resources if resource.build is not None):
        with contextlib.suppress(FileNotFoundError):  # one that was uploaded may be gone
            try:
                _build_inside(Path(build.path), root)
            except PathRefused as error:
                raise UserError(f"{build.path}: a build of the plan {error.strerror}") from None


def _unfit(path: Path, text: str, rules: BuildRules | None) -> Complaint | None:
    """What a look tells, before gigabytes are read for nothing. OSError if it cannot be read."""
    from qarunner.engine.io.uploads import sized, validate_apk

    build = sized(path, _name(path))
    if not build.size:
        return Complaint(path=_PATH, message=f"{text}: is empty")
    if (wrong := misfit(build, rules)) is not None:
        return wrong
    reason = validate_apk(path, zips_of_apks=rules is not None and rules.zips_of_apks)
    return Complaint(path=_PATH, message=f"{text}: {reason}") if reason else None


def _name(path: Path) -> str:
    return Path(os.path.relpath(path)).as_posix()
