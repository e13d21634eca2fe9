"""The schema that a manifest's first lines name for editors, and whether it is that of this version."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from qarunner import __version__
from qarunner.diagnostics import Diagnostic, Place, Severity
from qarunner.errors import UserError
from qarunner.manifest.codes import Code
from qarunner.paths import read_regular

FILE = "qa-matrix.schema.json"
LINE = "# yaml-language-server: $schema="
_LINE = re.compile(r"^#[ \t]*yaml-language-server:[ \t]*\$schema=(\S+)", re.MULTILINE)
_ID = re.compile(r'"\$id": ?"urn:qarunner:qa-matrix:([\w.+-]{1,40})')
_VERSION = re.compile(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.])")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSchema:
    """`version` is None where neither the address nor the file tells it; `file` is None for an address."""

    address: str
    place: Place
    line: str
    file: Path | None
    version: str | None

    @property
    def remedy(self) -> str:
        if self.file is not None:
            return f"qarunner schema > {self.file.as_posix()}"
        return f"name the one of this version, which has {__version__} in its address"


def named_schema(manifest: Path, text: str) -> NamedSchema | None:
    """What the first such line of a manifest names. A file that cannot be read tells no version."""
    match = _LINE.search(text)
    if match is None:
        return None
    address, number = match[1], text.count("\n", 0, match.start())
    place = Place(manifest.as_posix(), number + 1, match.start(1) - match.start() + 1)
    file, known = None, _VERSION.search(address)
    if "://" not in address:
        file, known = manifest.parent / address, None
        with contextlib.suppress(OSError, ValueError):
            known = _ID.search(read_regular(file).decode(errors="replace"))
    version = known[known.re.groups] if known else None
    return NamedSchema(address=address, place=place, line=match[0], file=file, version=version)


def schema_warnings(manifest: Path) -> tuple[Diagnostic, ...]:
    """A schema of another version: editors would check the manifest by other rules than this program."""
    try:
        named = named_schema(manifest, read_regular(manifest).decode(errors="replace"))
    except OSError:  # such as a pipe, which is read once
        return ()
    if named is None or named.version in {None, __version__}:
        return ()
    message = f"editors check this manifest with the schema of qarunner {named.version}, and this is {__version__}"
    return (
        Diagnostic(
            code=Code.OLD_SCHEMA,
            message=message,
            place=named.place,
            hint=named.remedy,
            source=named.line,
            severity=Severity.WARNING,
        ),
    )


def address_of(where: str) -> str:
    """What `init --schema` names: `file`, or an address whose `{version}` is filled in. UserError for any other."""
    if where == "file":
        return f"./{FILE}"
    address = where.replace("{version}", __version__)
    version = _VERSION.search(address)
    if not re.fullmatch(r"https://[^\s/]+/\S+", address) or version is None or version[0] != __version__:
        raise UserError(
            f"--schema: {where!r} is neither 'file' nor an https address with the version {__version__} in it",
            hint="your copy of qarunner publishes it with each release: --schema https://HOST/v{version}/" + FILE,
        )
    return address
