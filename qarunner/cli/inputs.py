"""What comes from outside: the manifest's file, the environment, and the words on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAMES = ("qa-matrix.yml", "qa-matrix.yaml")


def find_manifest(given: Path | None) -> Path:
    """The manifest: as given, or in this folder or the nearest parent up to the repository's root."""
    if given is not None:
        return given
    here = Path.cwd()
    for folder in (here, *here.parents):
        for name in NAMES:
            if (folder / name).is_file():
                return Path(os.path.relpath(folder / name))
        if (folder / ".git").exists():
            break
    raise UserError(
        f"no manifest: looked for {' and '.join(NAMES)} here and up to the repository's root",
        hint="name the file, or write one; `qarunner schema` prints what can stand in it",
    )


def read_manifest(path: Path) -> tuple[str, bytes]:
    """A manifest's name for messages, and its bytes."""
    try:
        return path.as_posix(), path.read_bytes()
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not a file", hint=f"name the file in it: {path / NAMES[0]}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def with_env_files(environ: Mapping[str, str], files: Iterable[Path]) -> dict[str, str]:
    """The environment over the variables of files; of these, a later one wins over an earlier one."""
    found: dict[str, str] = {}
    for file in files:
        found.update(_read_env_file(file))
    return {**found, **environ}


def _read_env_file(file: Path) -> dict[str, str]:
    from dotenv import dotenv_values  # noqa: PLC0415  for --env-file alone

    try:
        with file.open(encoding="utf-8-sig") as stream:
            # Not interpolated: a value is what stands in the file, as `docker --env-file` reads it.
            values = dotenv_values(stream=stream, interpolate=False)
    except UnicodeDecodeError as error:
        raise UserError(f"--env-file {file}: is not UTF-8") from error
    except OSError as error:
        raise UserError(f"--env-file {file}: cannot be read: {error.strerror}") from error
    empty = [name for name, value in values.items() if value is None]
    if empty:
        raise UserError(f"--env-file {file}: {empty[0]!r} has no value", hint="write NAME=value, one a line")
    return {name: value for name, value in values.items() if value is not None}


def overrides(words: Iterable[str]) -> dict[str, str]:
    """`K=V` words as a mapping. UserError for one without `=`."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UserError(f"--var {word}: not of the form K=V", hint="such as --var LOCALE=de")
        found[name] = value
    return found


def allowed_secrets(environ: Mapping[str, str], words: Iterable[str]) -> frozenset[str]:
    """The words that --allow-secret and QARUNNER_ALLOW_SECRETS give, commas allowed in both: NAME or NAME@HOST."""
    from qarunner.manifest.permissions import checked_word  # noqa: PLC0415

    given = tuple(words)
    for word in given:
        if not word.strip(" ,"):
            raise UserError(f"--allow-secret {word!r}: names no variable", hint="such as --allow-secret PREVIEW_TOKEN")
    listed = ",".join([environ.get("QARUNNER_ALLOW_SECRETS", ""), *given])
    return frozenset(checked_word(word.strip()) for word in listed.split(",") if word.strip())


def duration(option: str, text: str | None) -> float | None:
    """An option's duration in seconds. UserError if it is none, or zero."""
    from qarunner.manifest.durations import seconds  # noqa: PLC0415

    if text is None:
        return None
    try:
        found = seconds(text)
    except ValueError:
        found = 0.0
    if found <= 0:
        raise UserError(f"{option} {text}: not a duration", hint="write 200ms, 30s, 10m or 1h30m")
    return found
