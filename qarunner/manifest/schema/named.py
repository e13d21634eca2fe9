"""The schema that a manifest's first lines name for editors, and whether it is that of this version."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from msgspec import Struct

from qarunner import __version__
from qarunner.diagnostics import Diagnostic, Place, Severity
from qarunner.errors import UserError
from qarunner.manifest.codes import Code
from qarunner.paths import open_regular, read_regular
from qarunner.regex import regex

FILE = "qa-matrix.schema.json"
LINE = "# yaml-language-server: $schema="
_LINE = regex(r"^#[ \t]*yaml-language-server:[ \t]*\$schema=(\S+)", re.MULTILINE)
_ID = regex(r'"\$id": ?"urn:qarunner:qa-matrix:([\w.+-]{1,40})')
_OURS = regex(r'"title": ?"QA matrix"')
_MOST_BYTES = 16 << 20
_VERSION = regex(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.])")


class NamedSchema(Struct, frozen=True, kw_only=True):
    """`version` is None where neither the address nor the file tells it; `file` is None for an address.

    `text` is None for an address, and for a file that cannot be read.
    """

    address: str
    place: Place
    line: str
    file: Path | None
    version: str | None
    text: str | None

    @property
    def whose(self) -> str | None:
        """Whose rules editors check by, if it is another version's for certain."""
        if self.version is None:
            return "an unknown version" if self.text is not None and _OURS.search(self.text) else None
        return f"qarunner {self.version}" if self.version != __version__ else None

    @property
    def remedy(self) -> str:
        if self.file is not None:
            return f"qarunner schema > {self.file.as_posix()}"
        return f"name the one of this version, which has {__version__} in its address"


def named_schema(manifest: Path, text: str) -> NamedSchema | None:
    """What the first such line of a manifest names. A file that cannot be read tells no version."""
    match = _LINE.search(text) if "yaml-language-server" in text else None
    if match is None:
        return None
    address, number = match[1], text.count("\n", 0, match.start())
    place = Place(manifest.as_posix(), number + 1, match.start(1) - match.start() + 1)
    file, text_of_file, known = None, None, _VERSION.search(address)
    if "://" not in address:
        file = manifest.parent / address
        text_of_file = _read(file)
        known = _ID.search(text_of_file or "")
    version = known[known.re.groups] if known else None
    return NamedSchema(address=address, place=place, line=match[0], file=file, version=version, text=text_of_file)


def _read(file: Path) -> str | None:
    with contextlib.suppress(OSError, ValueError), open_regular(file) as stream:
        data = stream.read(_MOST_BYTES + 1)
        return data.decode(errors="replace") if len(data) <= _MOST_BYTES else None
    return None


def schema_warnings(manifest: Path) -> tuple[Diagnostic, ...]:
    """A schema of another version: editors would check the manifest by other rules than this program."""
    try:
        named = named_schema(manifest, read_regular(manifest).decode(errors="replace"))
    except OSError:  # such as a pipe, which is read once
        return ()
    if named is None or named.whose is None:
        return ()
    message = f"editors check this manifest with the schema of {named.whose}, and this is {__version__}"
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
    # No user of the host: the address is committed. No other braces: `{version}` is all that is filled in.
    if not re.fullmatch(r"https://[^\s/@{}]+/[^\s{}]+", address) or version is None or version[0] != __version__:
        raise UserError(
            f"--schema: {where!r} is neither 'file' nor an https address with the version {__version__} in it",
            hint="your copy of qarunner publishes it with each release: --schema https://HOST/v{version}/" + FILE,
        )
    return address
