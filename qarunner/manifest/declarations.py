"""The `env` section: which variables templates can read, and the rules that hold before any of them is set."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from qarunner.diagnostics import problem
from qarunner.manifest.codes import Code
from qarunner.manifest.model import EnvDeclaration
from qarunner.manifest.patterns import Refused, compile_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from qarunner.diagnostics import Diagnostic
    from qarunner.manifest.document import Document

KEY_OF: Mapping[str, str] = {
    "doksi": "DOKSI_API_KEY",
    "docketqa": "DOCKET_API_KEY",
    "testerarmy": "TESTERARMY_API_KEY",
    "certyn": "CERTYN_API_KEY",
}
"""Credentials that are one vendor's whatever else is known: a template can never read them."""

CREDENTIALS = frozenset(KEY_OF.values())

_SECRET_WORDS = (
    *("TOKEN", "TOKENS", "SECRET", "SECRETS", "PASSWORD", "PASSWORDS", "PASSWD", "PASSPHRASE", "PASS", "PWD"),
    *("KEY", "KEYS", "APIKEY", "SK", "PAT", "DSN", "WEBHOOK", "PGPASSWORD", "PGPASSFILE", "CONNECTION_STRING"),
    *("CREDENTIAL", "CREDENTIALS", "COOKIE", "COOKIES", "AUTH", "AUTHORIZATION", "BEARER", "JWT"),
)
_SECRET_NAME = re.compile(rf"(?:^|_)(?:{'|'.join(_SECRET_WORDS)})(?=_|\d*$|\d+_)")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# What can repeat is bounded, so that a long value takes no longer than its length.
_SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|(?<![A-Za-z0-9])(?:"
    r"gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{12,}"
    r"|A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Za-z0-9])|xox[abeoprs]-[A-Za-z0-9-]{8,}"
    r"|(?:dk|cyn|sk|rk)_(?:live|test)_[A-Za-z0-9]{8,}|sk-[A-Za-z0-9_-]{20,}|npm_[A-Za-z0-9]{30,}"
    r"|[a-z][a-z0-9+.-]{0,20}://[^/\s:@]{0,200}:[^/\s@]{1,200}@"
    r"|AIza[A-Za-z0-9_-]{30,}|eyJ[A-Za-z0-9_-]{8,400}\.eyJ[A-Za-z0-9_-]{8})"
)


def named_like_secret(name: str) -> bool:
    """Whether a name holds one of the words of secrets as whole words: API_TOKEN and apiToken, but not AUTHOR."""
    return _SECRET_NAME.search(_CAMEL.sub("_", name).upper().replace("-", "_")) is not None


def shaped_like_secret(text: str) -> bool:
    """Whether a text holds a key in one of the well-known shapes."""
    return _SECRET_VALUE.search(text) is not None


# --- formats ----------------------------------------------------------------------------------------------------------


def _uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
        valid_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return bool(parts.scheme and (parts.netloc or parts.path) and valid_port) and not re.search(r"[\s<>\"]", text)


_HOSTNAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?([eE][+-]?[0-9]{1,2})?")


def _date(text: str) -> bool:
    import datetime as dt  # noqa: PLC0415  only who declares a date pays for it

    try:
        return bool(re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) and dt.date.fromisoformat(text))
    except ValueError:
        return False


FORMATS: Mapping[str, Callable[[str], bool]] = {
    "uri": _uri,
    "hostname": lambda text: _HOSTNAME.fullmatch(text) is not None,
    "date": _date,
    "integer": lambda text: _INTEGER.fullmatch(text) is not None,
    "number": lambda text: _NUMBER.fullmatch(text) is not None,
    "boolean": lambda text: text in {"true", "false"},
}


def typed(declaration: EnvDeclaration, text: str) -> object:
    """A value as templates see it: formats integer, number and boolean give that type, all else stays text."""
    match declaration.format:
        case "integer":
            return int(text)
        case "number":
            return int(text) if _INTEGER.fullmatch(text) else float(text)
        case "boolean":
            return text == "true"
        case _:
            return text


def misfit(declaration: EnvDeclaration, text: str) -> str | None:
    """Why a value does not fit its declaration, as the end of a sentence without the value; None if it does."""
    if declaration.enum and text not in declaration.enum:
        return f"is none of: {', '.join(declaration.enum)}"
    checker = FORMATS.get(declaration.format or "")
    if checker and not checker(text):
        return f"is not of the format {declaration.format}"
    if declaration.pattern is None:
        return None
    try:
        matches = compile_pattern(declaration.pattern).full_match(text)
    except Refused as refusal:
        return f"cannot be checked: {refusal}"
    return None if matches else f"does not match {declaration.pattern}"


# --- reading the section ----------------------------------------------------------------------------------------------


def read_declarations(document: Document) -> dict[str, EnvDeclaration]:
    """The declarations of a document of any shape: what the schema would refuse is left out."""
    section = document.data.get("env")
    if not isinstance(section, dict):
        return {}
    return {name: _declaration(name, body) for name, body in section.items() if body is None or isinstance(body, dict)}


def _declaration(name: str, body: Mapping[str, object] | None) -> EnvDeclaration:
    body = body or {}
    enum = body.get("enum")
    return EnvDeclaration(
        name=name,
        secret=body.get("secret") is True,
        default=_text(body.get("default")),
        format=_text(body.get("format")),
        enum=tuple(_text(value) or "" for value in enum) if isinstance(enum, list) else (),
        pattern=_text(body.get("pattern")),
        description=_text(body.get("description")),
    )


def _text(value: object) -> str | None:
    """Environment variables are text: `default: 3` means "3", and `true` is written as YAML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None


def check_declarations(document: Document, declared: Mapping[str, EnvDeclaration]) -> Iterator[Diagnostic]:
    """What is wrong with the declarations themselves, whatever the environment holds."""
    credentials = CREDENTIALS | key_names(document.data)
    for declaration in declared.values():
        if declaration.name.upper() in {name.upper() for name in credentials}:
            yield credential(document, declaration)
        elif named_like_secret(declaration.name) and not declaration.secret:
            yield _undeclared_secret(document, declaration)
        yield from _check_pattern(document, declaration)
        yield from _check_default(document, declaration)


def credential(document: Document, declaration: EnvDeclaration) -> Diagnostic:
    return problem(
        document,
        declaration.path,
        f"{declaration.name} is a vendor's credential: a template can never read it",
        code=Code.CREDENTIAL,
        hint="remove it from env; qarunner itself sends it to its vendor, and only there",
        key=True,
    )


def _undeclared_secret(document: Document, declaration: EnvDeclaration) -> Diagnostic:
    return problem(
        document,
        declaration.path,
        f"{declaration.name} has the name of a secret but is not declared as one",
        code=Code.SECRET_NAME,
        hint=f"write {declaration.name}: {{ secret: true }}, or rename the variable if it is none",
        key=True,
    )


def _check_pattern(document: Document, declaration: EnvDeclaration) -> Iterator[Diagnostic]:
    if declaration.pattern is None:
        return
    try:
        compile_pattern(declaration.pattern)
    except Refused as refusal:
        yield problem(document, (*declaration.path, "pattern"), f"pattern: {refusal}", code=Code.BAD_PATTERN)


def _check_default(document: Document, declaration: EnvDeclaration) -> Iterator[Diagnostic]:
    default, path = declaration.default, (*declaration.path, "default")
    if default is None:
        return
    if declaration.secret:
        yield problem(
            document,
            path,
            f"{declaration.name} is a secret: the manifest cannot hold a default for it",
            code=Code.SECRET_DEFAULT,
            hint="remove the default; if this was a real value, replace it, as it is in the repository's history",
        )
    elif shaped_like_secret(default):
        yield problem(
            document,
            path,
            f"the default of {declaration.name} looks like a real secret",
            code=Code.LOOKS_SECRET,
            hint="replace the secret, as it is in the repository's history, and declare the variable secret: true",
        )
    elif reason := misfit(declaration, default):
        yield problem(document, path, f"the default of {declaration.name} {reason}", code=Code.BAD_DEFAULT)


def key_names(data: Mapping[str, object]) -> frozenset[str]:
    """Every name under `vendors.*.api_key_env`."""
    vendors = data.get("vendors")
    settings = vendors.values() if isinstance(vendors, dict) else ()
    names = (each.get("api_key_env") for each in settings if isinstance(each, dict))
    return frozenset(name for name in names if isinstance(name, str))
