"""The environment meets the declarations: which values templates get, and which of them are secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from qarunner import known, secret
from qarunner.diagnostics import Diagnostic, Locator, Path, choose, problem
from qarunner.manifest.codes import Code
from qarunner.manifest.model import EnvDeclaration
from qarunner.manifest.templates.filters import Refused, compile_pattern
from qarunner.manifest.templates.parse import LONGEST_TEXT
from qarunner.manifest.templates.secret_access import Permissions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qarunner.manifest.model import Manifest
    from qarunner.manifest.yaml.reader import Document


# ---------------------------------------------------------------------------------------------------------------------

# The `env` section: which variables templates can read, and the rules that hold before any of them is set.


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


_CONTAINED = 8
"""Credentials shorter than this are compared as a whole; longer ones are also looked for inside of values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Everything from outside that templates can depend on.

    `env` is like os.environ; `overrides` are the `--var` options and win over it and over `vars`. `allow_secrets` are
    the words of --allow-secret and QARUNNER_ALLOW_SECRETS (see `permissions`). `credentials` names the variables that
    templates can never read, and `vendor_keys` gives each vendor's default one. `git` and `ci` have the fields of
    `parse.FIELDS`; what nobody could find out is Unknown or Refused.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    allow_secrets: frozenset[str] = frozenset()
    credentials: frozenset[str] = frozenset()
    git: Mapping[str, str | known.Unknown | known.Refused | None] = field(default_factory=dict)
    ci: Mapping[str, str | int | None] = field(default_factory=dict)
    vendor_keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Use:
    """Where a template reads something."""

    locator: Locator
    path: Path


@dataclass(frozen=True, slots=True)
class Resolved:
    """The values of the variables that are used. `env` holds placeholders for secrets, `secrets` their text."""

    env: dict[str, object]
    secrets: dict[str, str]
    problems: tuple[Diagnostic, ...]


def resolve(manifest: Manifest, used: Mapping[str, Use], values: Values) -> Resolved:
    """Looks up the used variables. A variable that is set but empty counts as not set: its default applies."""
    env: dict[str, object] = {}
    secrets: dict[str, str] = {}
    problems = [*_check_overrides(manifest, values), *_declared_credentials(manifest, values)]
    keys = _credential_values(manifest, values)
    for name, use in used.items():
        declaration = manifest.env[name]
        text = _lookup(declaration, values)
        found = list(_problems(manifest, declaration, text, values, keys))
        if text is None:
            problems += [*found, _missing(manifest, declaration, use, values)]
        elif found:
            problems += found
        elif declaration.secret:
            env[name], secrets[name] = secret.placeholder(name), text
        else:
            env[name] = typed(declaration, text)
    return Resolved(env, secrets, tuple(problems))


def _lookup(declaration: EnvDeclaration, values: Values) -> str | None:
    name = declaration.name
    return values.overrides.get(name) or values.env.get(name) or declaration.default or None


def _problems(
    manifest: Manifest, declaration: EnvDeclaration, text: str | None, values: Values, keys: tuple[str, ...]
) -> Iterator[Diagnostic]:
    """What speaks against a variable's value; none of it quotes a value that may be secret."""
    name = declaration.name
    if declaration.secret and not Permissions(values.allow_secrets).allows(name):
        yield _at(
            manifest,
            declaration,
            Code.NOT_ALLOWED,
            f"the secret {name} is used, but nobody allowed it",
            f"give --allow-secret {name}, or set QARUNNER_ALLOW_SECRETS={name} where the pipeline is configured",
        )
        # Its value is not even looked at: an enum or a pattern would tell about it, one guess at a time.
        return
    if text is None:
        return
    if _is_credential(text, keys):  # also where it was declared as a secret: it is its vendor's alone
        message = f"the value of {name} holds a vendor's credential"
        yield _at(manifest, declaration, Code.LOOKS_SECRET, message, "templates never read those")
    elif not declaration.secret and shaped_like_secret(text):
        hint = f"declare it as {name}: {{ secret: true }}"
        yield _at(manifest, declaration, Code.LOOKS_SECRET, f"the value of {name} looks like a secret", hint)
    elif reason := misfit(declaration, text):
        shown = "" if declaration.secret else f" ({text[:60]!r})"
        yield _at(manifest, declaration, Code.BAD_VALUE, f"the value of {name}{shown} {reason}")
    elif "⟦" in text or "⟧" in text:
        yield _at(manifest, declaration, Code.RESERVED, f"the value of {name} holds ⟦ or ⟧, which are reserved")
    elif len(text) > LONGEST_TEXT:
        yield _at(manifest, declaration, Code.TOO_MUCH, f"the value of {name} is longer than {LONGEST_TEXT} characters")


def _at(
    manifest: Manifest, declaration: EnvDeclaration, code: Code, message: str, hint: str | None = None
) -> Diagnostic:
    return problem(manifest.document, declaration.path, message, code=code, hint=hint, key=True)


def _missing(manifest: Manifest, declaration: EnvDeclaration, use: Use, values: Values) -> Diagnostic:
    name = declaration.name
    place = manifest.document.locate(declaration.path, key=True)
    emptied = name in values.overrides or name in values.env
    how = f"export {name}=…, or give --var {name}=…; a default in the declaration makes it optional"
    what = f" ({declaration.description})" if declaration.description else ""
    return Diagnostic(
        code=Code.MISSING,
        message=f"{name} {'is set but empty' if emptied else 'is not set'}{what}",
        place=place,
        hint=f"export {name}=…, from where the pipeline keeps its secrets" if declaration.secret else how,
        source=manifest.document.source_line(place),
        related=((use.locator.locate(use.path), f"{name} is used here"),),
    )


def _check_overrides(manifest: Manifest, values: Values) -> Iterator[Diagnostic]:
    """What no --var can bring. Those of `env` are looked at again where they are used."""
    known, keys = (*manifest.env, *manifest.vars), _credential_values(manifest, values)
    for name, text in values.overrides.items():
        if name in manifest.vars and (_is_credential(text, keys) or shaped_like_secret(text)):
            what = "holds a vendor's credential" if _is_credential(text, keys) else "looks like a secret"
            hint = "a secret comes from an environment variable that env declares with secret: true"
            message = f"--var {name}: the value {what}"
            yield problem(manifest.document, ("vars", name), message, code=Code.LOOKS_SECRET, hint=hint, key=True)
        if "⟦" in text or "⟧" in text:
            message = f"--var {name}: the characters ⟦ and ⟧ are reserved"
            yield problem(manifest.document, (), message, code=Code.RESERVED)
        if name not in known:
            hint = choose(name, known) if known else "the manifest has no variable under env or vars"
            message = f"--var {name}: the manifest does not declare {name}"
            yield problem(manifest.document, ("env",), message, code=Code.UNKNOWN_OVERRIDE, hint=hint, key=True)


# --- credentials ------------------------------------------------------------------------------------------------------


def _declared_credentials(manifest: Manifest, values: Values) -> Iterator[Diagnostic]:
    names = {name.upper() for name in values.credentials | frozenset(values.vendor_keys.values())}
    for declaration in manifest.env.values():
        if declaration.name.upper() in names:
            yield credential(manifest.document, declaration)


def _credential_values(manifest: Manifest, values: Values) -> tuple[str, ...]:
    named = CREDENTIALS | values.credentials | key_names(manifest.document.data) | set(values.vendor_keys.values())
    return tuple(text for name in sorted(named) if (text := values.env.get(name, "").strip()))


def _is_credential(text: str, keys: tuple[str, ...]) -> bool:
    return any(text.strip() == key or (len(key) >= _CONTAINED and key in text) for key in keys)


def check_key_names(
    manifest: Manifest, vendor_keys: Mapping[str, str], allow_secrets: frozenset[str] | None = None
) -> tuple[Diagnostic, ...]:
    """Whether each `vendors.*.api_key_env` names a variable that may be sent to that vendor.

    Another vendor's credential is always an error. A name without the vendor's own prefix as a word needs
    --allow-secret; with `allow_secrets=None`, as in `validate`, it passes.
    """
    keys = {**KEY_OF, **vendor_keys}
    chosen = {
        vendor: name for vendor, body in manifest.vendors.items() if isinstance(name := body.get("api_key_env"), str)
    }
    found = []
    for vendor, name in chosen.items():
        owners = _owners(name, chosen, keys)
        if owners and vendor not in owners:
            message = f"{name} is the credential of {min(owners)}: it is never sent to {vendor}"
            found.append(_bad_key(manifest, vendor, Code.FOREIGN_KEY, message, _example(vendor, keys)))
        elif not (allow_secrets is None or name in allow_secrets or _own(vendor, name, keys)):
            message = f"{name} would be sent to {vendor}, and its name does not say that it belongs there"
            hint = f"give --allow-secret {name} (or QARUNNER_ALLOW_SECRETS={name}), or {_example(vendor, keys)}"
            found.append(_bad_key(manifest, vendor, Code.KEY_NOT_ALLOWED, message, hint))
    return tuple(found)


def _owners(name: str, chosen: Mapping[str, str], keys: Mapping[str, str]) -> set[str]:
    """The vendors whose credential a variable is: by default, else by their own choice and with their own word."""
    default = {vendor for vendor, key in keys.items() if key.upper() == name.upper()}
    return default or {vendor for vendor, key in chosen.items() if key == name and _own(vendor, name, keys)}


def _bad_key(manifest: Manifest, vendor: str, code: Code, message: str, hint: str) -> Diagnostic:
    return problem(manifest.document, ("vendors", vendor, "api_key_env"), message, code=code, hint=hint)


def _own(vendor: str, name: str, keys: Mapping[str, str]) -> bool:
    return any(f"_{prefix}_" in f"_{name.upper()}_" for prefix in _prefixes(vendor, keys))


def _prefixes(vendor: str, keys: Mapping[str, str]) -> tuple[str, ...]:
    """The words that mark a variable as a vendor's: DOCKETQA, and DOCKET as in DOCKET_API_KEY."""
    own = vendor.upper().replace("-", "_")
    default = keys.get(vendor, "").upper()
    for ending in ("_API_KEY", "_API_TOKEN", "_KEY", "_TOKEN"):
        if default.endswith(ending):
            return (default.removesuffix(ending), own)
    return (own,)


def _example(vendor: str, keys: Mapping[str, str]) -> str:
    return f"name a variable with {_prefixes(vendor, keys)[0]} in its name"
