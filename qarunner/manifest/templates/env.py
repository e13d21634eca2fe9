"""The variables that a manifest declares: what each may be, and the values that templates get."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct, field
from msgspec.structs import replace

from qarunner import known, secret
from qarunner.decode import as_mapping, is_unicode
from qarunner.diagnostics import Diagnostic, Locator, Path, Place, choose, closest, problem
from qarunner.errors import UserError
from qarunner.manifest.codes import Code
from qarunner.manifest.model import BASE, EnvDeclaration, Manifest
from qarunner.manifest.schema import urls
from qarunner.manifest.templates.expression import FIELDS, LONGEST_TEXT, Later, StepLimitError, Steps
from qarunner.manifest.templates.filters import Refused, compile_pattern
from qarunner.regex import regex
from qarunner.secret import VALUE_OF

if TYPE_CHECKING:
    from qarunner.manifest.yaml.reader import Document


# ---------------------------------------------------------------------------------------------------------------------

# The `env` section: which variables templates can read, and the rules that hold before any of them is set.


_SECRET_WORDS = (
    *("TOKEN", "TOKENS", "SECRET", "SECRETS", "PASSWORD", "PASSWORDS", "PASSWD", "PASSPHRASE", "PASS", "PWD"),
    *("KEY", "KEYS", "APIKEY", "SK", "PAT", "DSN", "WEBHOOK", "PGPASSWORD", "PGPASSFILE", "CONNECTION_STRING"),
    *("CREDENTIAL", "CREDENTIALS", "COOKIE", "COOKIES", "AUTH", "AUTHORIZATION", "BEARER", "JWT"),
)


_SECRET_NAME = regex(rf"(?:^|_)(?:{'|'.join(_SECRET_WORDS)})(?=_|\d*$|\d+_)")


_CAMEL = regex(r"(?<=[a-z0-9])(?=[A-Z])")


# What can repeat is bounded, so that a long value takes no longer than its length.
_SECRET_VALUE = regex(
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
    whole = bool(parts.scheme and (parts.netloc or parts.path) and valid_port)
    return whole and not re.search(r"[\s<>\"]", text) and urls.misfit(text) is None


_HOSTNAME = regex(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


_INTEGER = regex(r"-?(0|[1-9][0-9]{0,17})")


_NUMBER = regex(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?([eE][+-]?[0-9]{1,2})?")


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


LIST = "list"


class NoList(ValueError):  # noqa: N818  it says what is wrong with the text
    """A text that stands for no list, and why."""


def listed(text: str) -> list[str | int | float | bool]:
    """The list that a text stands for: a JSON list, or items between commas and line ends. NoList if it is neither.

    What is empty between two commas is no item, so that a list can end in one.
    """
    if not text.lstrip().startswith("["):
        return [item for piece in re.split(r"[,\r\n]", text) if (item := piece.strip())]
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        raise NoList("begins with '[' and is no JSON list") from None
    for item in items:
        if not isinstance(item, (str, int, float)) or (isinstance(item, float) and not math.isfinite(item)):
            what = "a list" if isinstance(item, list) else "no text, number, true or false"
            raise NoList(f"has an item that is {what}")
    return list(items)


def typed(declaration: EnvDeclaration, text: str) -> object:
    """A value as templates see it: formats list, integer, number and boolean give that type, all else stays text."""
    match declaration.format:
        case "list":
            return listed(text)
        case "integer":
            return int(text)
        case "number":
            return int(text) if _INTEGER.fullmatch(text) else float(text)
        case "boolean":
            return text == "true"
        case _:
            return text


def misfit(declaration: EnvDeclaration, text: str, steps: Steps) -> str | None:
    """Why a value does not fit its declaration, as the end of a sentence without the value; None if it does."""
    if declaration.format == LIST:
        return _misfit_of_list(declaration, text, steps)
    if declaration.enum and text not in declaration.enum:
        return f"is none of: {', '.join(declaration.enum)}"
    checker = FORMATS.get(declaration.format or "")
    if checker and not checker(text):
        valid = ": write true or false" if declaration.format == "boolean" else ""
        return f"is not of the format {declaration.format}{valid}"
    if declaration.pattern is None:
        return None
    try:
        matches = compile_pattern(declaration.pattern).full_match(text, steps)
    except (Refused, StepLimitError) as refusal:
        return f"cannot be checked: {refusal}"
    return None if matches else f"does not match {declaration.pattern}"


def _misfit_of_list(declaration: EnvDeclaration, text: str, steps: Steps) -> str | None:
    """The same for a list; `enum` and `pattern` are about each of its items."""
    try:
        items = [as_variable(item) or "" for item in listed(text)]
    except NoList as error:
        return str(error)
    if any(map(known.holds_template, items)):
        return "has an item with a template: the items of a list are literal"
    of_items = replace(declaration, format=None)
    reasons = ((item, misfit(of_items, item, steps)) for item in items)
    return next((f"has the item {item[:60]!r}, which {why}" for item, why in reasons if why), None)


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
        default=as_variable(body.get("default")),
        format=as_variable(body.get("format")),
        enum=tuple(as_variable(value) or "" for value in enum) if isinstance(enum, list) else (),
        pattern=as_variable(body.get("pattern")),
        description=as_variable(body.get("description")),
    )


def as_variable(value: object) -> str | None:
    """Environment variables are text: `default: 3` means "3", `true` is written as YAML writes it, a list as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return str(value) if isinstance(value, (str, int, float)) else None


def check_declarations(
    document: Document, declared: Mapping[str, EnvDeclaration], vendor_keys: Mapping[str, str]
) -> Iterator[Diagnostic]:
    """What is wrong with the declarations themselves, whatever the environment holds."""
    credentials = {name.upper() for name in key_names(document).union(vendor_keys.values())}
    steps = Steps()
    for declaration in declared.values():
        if declaration.name.upper() in credentials:
            yield _credential(document, declaration.name)
        elif declaration.name.upper().startswith(OWN):
            yield _own_variable(document, declaration.name)
        elif named_like_secret(declaration.name) and not declaration.secret:
            yield _undeclared_secret(document, declaration.name)
        yield from _check_pattern(document, declaration)
        yield from _check_default(document, declaration, steps)


def _credential(document: Document, name: str) -> Diagnostic:
    message = f"{name} is a vendor's credential: a template can never read it"
    hint = "remove it from env; qarunner itself sends it to its vendor, and only there"
    return _at(document, name, Code.CREDENTIAL, message, hint)


def _own_variable(document: Document, name: str) -> Diagnostic:
    message = f"{name} is a variable of qarunner itself: no template reads it"
    hint = f"give it another name; the pipeline gives NAME its value as {VALUE_OF}NAME"
    return _at(document, name, Code.OWN_VARIABLE, message, hint)


def _undeclared_secret(document: Document, name: str) -> Diagnostic:
    message = f"{name} has the name of a secret but is not declared as one"
    hint = f"write {name}: {{ secret: true }}, or rename the variable if it is none"
    return _at(document, name, Code.SECRET_NAME, message, hint)


def _denied_secret(document: Document, name: str) -> Diagnostic:
    """Who takes `secret: true` out of a manifest takes no secret out of its binding."""
    message = f"{name} is a secret, as --allow-secret or QARUNNER_ALLOW_SECRETS says, and is not declared as one"
    return _at(document, name, Code.SECRET_NAME, message, f"write {name}: {{ secret: true }}")


def replacement(manifest: Manifest, values: Values, name: str) -> str | None:
    """The value that the pipeline gives in the place of an entry of `vars`, which cannot hold a secret: then None."""
    return None if _is_secret(manifest, values, name) else values.override(name)


def _is_secret(manifest: Manifest, values: Values, name: str) -> bool:
    declaration = manifest.env.get(name)
    return name in values.secrets or named_like_secret(name) or (declaration is not None and declaration.secret)


def _secret_in_vars(manifest: Manifest, values: Values, name: str) -> Diagnostic:
    message = f"{values.source(name)} gives {name} a value, which has the name of a secret: an entry of vars is none"
    hint = (
        f"write env: {{ {name}: {{ secret: true }} }} and read {{{{ env.{name} }}}}, or rename the entry if it is none"
    )
    return problem(manifest.document, ("vars", name), message, code=Code.SECRET_NAME, hint=hint, key=True)


def _check_pattern(document: Document, declaration: EnvDeclaration) -> Iterator[Diagnostic]:
    if declaration.pattern is None:
        return
    try:
        compile_pattern(declaration.pattern)
    except Refused as refusal:
        yield problem(document, (*declaration.path, "pattern"), f"pattern: {refusal}", code=Code.BAD_PATTERN)


def _check_default(document: Document, declaration: EnvDeclaration, steps: Steps) -> Iterator[Diagnostic]:
    default, path, name = declaration.default, (*declaration.path, "default"), declaration.name
    if default is None:
        return
    if declaration.secret:
        message = f"{name} is a secret: the manifest cannot hold a default for it"
        hint = "remove the default; if this was a real value, replace it, as it is in the repository's history"
        yield problem(document, path, message, code=Code.SECRET_DEFAULT, hint=hint)
    elif shaped_like_secret(default):
        hint = "replace the secret, as it is in the repository's history, and declare the variable secret: true"
        message = f"the default of {name} looks like a real secret"
        yield problem(document, path, message, code=Code.LOOKS_SECRET, hint=hint)
    elif reason := misfit(declaration, default, steps):
        yield problem(document, path, f"the default of {name} {reason}", code=Code.BAD_DEFAULT)


def key_names(document: Document) -> frozenset[str]:
    """Every name under `vendors.*.api_key_env`, of the manifest and of its base."""
    return frozenset(name for _, name in _chosen_keys(document))


def _chosen_keys(document: Document) -> Iterator[tuple[str, str]]:
    """The same with the vendor of each."""
    for above in ((), (BASE,)):
        for vendor, settings in as_mapping(document.at((*above, "vendors"))).items():
            if isinstance(name := as_mapping(settings).get("api_key_env"), str):
                yield vendor, name


_CONTAINED = 8
"""Credentials shorter than this are compared as a whole; longer ones are also looked for inside of values."""


# ---------------------------------------------------------------------------------------------------------------------

# Which value a declared variable has. Only the pipeline decides what is read: a change of the manifest alone reads
# nothing new from the environment.


OWN = "QARUNNER_"
"""What the names of qarunner's own variables begin with."""


_NAMING = regex(r"!?[A-Za-z_*?][A-Za-z0-9_*?]*", re.ASCII)


class Names(Struct, frozen=True):
    """The variables that the pipeline names with --env and QARUNNER_ENV: names and globs, where `!` excludes."""

    words: tuple[str, ...] = ()

    def named(self, name: str) -> bool:
        """True if the pipeline names a variable, and does not exclude it."""
        return not self.excluded(name) and any(fnmatchcase(name, word) for word in self.words)

    def excluded(self, name: str) -> bool:
        """True if the pipeline says that a variable is not meant."""
        return any(word.startswith("!") and fnmatchcase(name, word[1:]) for word in self.words)


def checked_naming(word: str, option: str) -> str:
    """A name or glob of --env. UserError if it is malformed, or names whatever the environment holds."""
    bare = word.removeprefix("!")
    if "=" in bare:
        name = bare.partition("=")[0]
        raise UserError(f"{option} {name}=…: names a variable, and gives it no value", hint=f"write --var {name}=…")
    if not _NAMING.fullmatch(word):
        raise UserError(f"{option} {word}: is no name of a variable", hint=_NAMING_HINT)
    if not re.search("[A-Za-z0-9]", bare):
        raise UserError(f"{option} {word}: names every variable of the environment", hint=_NAMING_HINT)
    return word


_NAMING_HINT = "name the variables one by one, or by how they begin: STAGING_URL, SHOP_*; !NAME is not meant"


class Lookup(Struct, frozen=True):
    """The value of a variable, if it has one, and what gives it.

    `unnamed`: the environment has another value, which no option names.
    """

    text: str | None
    unnamed: bool = False
    source: str = "default"


class Values(Struct, frozen=True, kw_only=True):
    """Everything from outside that templates can depend on.

    `env` is the environment of the process, of which `names` says what may be read. `overrides` are what --var and
    --var-file give, and win over all else; `places` are their lines in files, and `lists` are those that a file has as
    a list. `files` has the variables of --env-file.
    `allow_secrets` are the words of --allow-secret and QARUNNER_ALLOW_SECRETS. `credentials` names the variables that
    templates can never read, and `vendor_keys` gives each vendor's default one. `git` and `ci` have the fields of
    `expression.FIELDS`; what could not be found out is Unknown or Refused.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    names: Names = Names()
    files: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    lists: frozenset[str] = frozenset()
    allow_secrets: frozenset[str] = frozenset()
    credentials: frozenset[str] = frozenset()
    git: Mapping[str, str | known.Unknown | known.Refused | None] = field(default_factory=dict)
    ci: Mapping[str, str | int | known.Unknown | known.Refused | None] = field(default_factory=dict)
    vendor_keys: Mapping[str, str] = field(default_factory=dict)
    steps: Steps = field(default_factory=Steps)
    """What all templates that are computed with these values may cost together."""

    @property
    def secrets(self) -> frozenset[str]:
        """What the pipeline calls secrets by allowing them, whatever a manifest says of these names."""
        return frozenset(word.partition("@")[0] for word in self.allow_secrets)

    def override(self, name: str) -> str | None:
        """The value that the pipeline itself gives, for a variable of `env` or an entry of `vars`.

        CI systems set what they do not know to nothing, so an empty variable of the environment gives no value.
        """
        return self.overrides.get(name, self.env.get(VALUE_OF + name) or None)

    def source(self, name: str) -> str:
        """What gives the value of `override`."""
        option = "--var-file" if name in self.places else "--var"
        return option if name in self.overrides else VALUE_OF + name

    def lookup(self, declaration: EnvDeclaration) -> Lookup:
        """The value of a declared variable, from the first source that has one."""
        name = declaration.name
        override = self.override(name)
        if override is not None:
            return Lookup(override, source=self.source(name))
        # A secret is named by its permission, without which it goes nowhere.
        named = self.names.named(name) or (declaration.secret and not self.names.excluded(name))
        in_environment = self.env.get(name) or None
        if named and in_environment is not None:
            return Lookup(in_environment, source=f"the environment's {name}")
        if name in self.files:
            return Lookup(self.files[name], source="--env-file")
        unnamed = in_environment is not None and not self.names.excluded(name)
        return Lookup(declaration.default, unnamed=unnamed)

    def permits(self, name: str) -> bool:
        """True if a secret may be sent to some place at all."""
        return bool(secret.places_of(name, self.allow_secrets))


def nothing_set(rows: int) -> Values:
    """What is known without an environment, git or a CI system: what the file itself says."""
    why = known.Unknown("it is known in a build alone")
    git, ci = (dict.fromkeys(FIELDS[root], why) for root in ("git", "ci"))
    return Values(git=git, ci=ci, steps=Steps(rows))


class Use(Struct, frozen=True):
    """Where a template reads something."""

    locator: Locator
    path: Path


class Resolved(Struct, frozen=True):
    """The values of the variables that are used. `env` holds placeholders for secrets, `secrets` their text.

    What has no value that could be used is Later. `placeholders` are the names of all secrets that are read, and
    `not_permitted` are the secrets among them that may not be sent anywhere, each with what there is to say of it.
    """

    env: dict[str, object]
    secrets: dict[str, str]
    problems: tuple[Diagnostic, ...]
    not_permitted: Mapping[str, Diagnostic] = field(default_factory=dict)
    placeholders: frozenset[str] = frozenset()


def resolve(manifest: Manifest, used: Mapping[str, Use], values: Values) -> Resolved:
    """Looks up the used variables."""
    env: dict[str, object] = {}
    secrets: dict[str, str] = {}
    not_permitted: dict[str, Diagnostic] = {}
    problems = [*_check_overrides(manifest, values), *_declared_credentials(manifest, values)]
    keys = _credential_values(manifest, values)
    for name, use in used.items():
        declaration = manifest.env[name]
        looked_up = values.lookup(declaration)
        permitted = not declaration.secret or values.permits(name)
        if not permitted:
            not_permitted[name] = _not_permitted(manifest, name)
        if name in values.secrets and not declaration.secret:
            wrong = [_denied_secret(manifest.document, name)]
        elif looked_up.unnamed:
            wrong = [_unnamed(manifest, declaration, use)]
        elif looked_up.text is None:
            wrong = [_missing(manifest, declaration, use, values)]
        else:
            # Of a secret that is not permitted not even the value is looked at.
            wrong = list(_misfit(manifest, declaration, looked_up.text, keys, values.steps)) if permitted else []
        problems += wrong
        if declaration.secret:
            env[name] = secret.placeholder(name)
            secrets |= {name: looked_up.text} if looked_up.text is not None else {}
        else:
            env[name] = Later((wrong[0].message,)) if wrong else typed(declaration, str(looked_up.text))
    placeholders = frozenset(name for name in used if manifest.env[name].secret)
    return Resolved(env, secrets, tuple(problems), not_permitted, placeholders)


def _misfit(
    manifest: Manifest, declaration: EnvDeclaration, text: str, keys: tuple[str, ...], steps: Steps
) -> Iterator[Diagnostic]:
    """What speaks against a variable's value; it does not quote a value that may be secret.

    Of a secret the manifest asks nothing: its `enum`, `format` or `pattern` could find the value out, build by build.
    """
    name = declaration.name
    texts = _texts(text, is_list=declaration.format == LIST)
    unwritable = _unwritable(texts)
    code, message, hint = Code.LOOKS_SECRET, "", None
    if any(_is_credential(part, keys) for part in texts):  # also of a secret: it is its vendor's alone
        message, hint = "holds a vendor's credential", "templates never read those"
    elif not declaration.secret and any(map(shaped_like_secret, texts)):
        message, hint = "looks like a secret", f"declare it as {name}: {{ secret: true }}"
    elif unwritable is not None and unwritable[0] is Code.BAD_VALUE:
        code, message = unwritable
        hint = "its bytes came from an environment in another encoding"
    elif not declaration.secret and (reason := misfit(declaration, text, steps)):
        code, message = Code.BAD_VALUE, f"({text[:60]!r}) {reason}"
        hint = _LIST_HINT if declaration.format == LIST else None
    elif unwritable is not None:
        code, message = unwritable
    elif len(text) > LONGEST_TEXT:
        code, message = Code.TOO_MUCH, f"is longer than {LONGEST_TEXT} characters"
    if message:
        yield _at(manifest.document, name, code, f"the value of {name} {message}", hint)


def _texts(text: str, *, is_list: bool) -> tuple[str, ...]:
    """A value, and the items of a list: they may be written with escapes."""
    return (text, *_items(text)) if is_list else (text,)


def _unwritable(texts: Iterable[str]) -> tuple[Code, str] | None:
    """Why no value can be so, whatever it is for."""
    texts = tuple(texts)
    if not all(map(is_unicode, texts)):
        return Code.BAD_VALUE, "is not valid UTF-8"
    return (Code.RESERVED, "holds ⟦ or ⟧, which are reserved") if any(map(secret.has_brackets, texts)) else None


_LIST_HINT = """write the items with commas between them, or as a JSON list: '["smoke", "login"]'"""


def _items(text: str) -> list[str]:
    """The texts in a list; empty where it is no list, which is said elsewhere."""
    try:
        return [item for item in listed(text) if isinstance(item, str)]
    except NoList:
        return []


def _at(
    document: Document, name: str, code: Code, message: str, hint: str | None = None, *related: tuple[Place, str]
) -> Diagnostic:
    """A problem at the declaration of a variable."""
    return problem(document, ("env", name), message, code=code, hint=hint, key=True, related=related)


def _not_permitted(manifest: Manifest, name: str) -> Diagnostic:
    """For a secret whose destination is not known, since the rows could not be computed, or do not send it."""
    message = f"the secret {name} is used, and is not allowed"
    hint = f"add --allow-secret {name}@HOST for a URL of that host, or {name}@VENDOR for another field of that vendor"
    return _at(manifest.document, name, Code.NOT_ALLOWED, message, f"{hint}; or set QARUNNER_ALLOW_SECRETS")


def _used_here(name: str, use: Use) -> tuple[Place, str]:
    return use.locator.locate(use.path), f"{name} is used here"


def _unnamed(manifest: Manifest, declaration: EnvDeclaration, use: Use) -> Diagnostic:
    name = declaration.name
    ways = [
        f"to read it: --env {name}, or QARUNNER_ENV={name}",
        f"to give another value: {VALUE_OF}{name}=…, or --var {name}=…",
    ]
    if declaration.default is not None:
        ways.append(f"to use its default: --env '!{name}'")
    message = f"{name} is set in the environment, but the pipeline does not name it"
    return _at(manifest.document, name, Code.NOT_NAMED, message, "; ".join(ways), _used_here(name, use))


def _missing(manifest: Manifest, declaration: EnvDeclaration, use: Use, values: Values) -> Diagnostic:
    name = declaration.name
    emptied = name in values.env or VALUE_OF + name in values.env
    how = f"set {VALUE_OF}{name}=…, or give --var {name}=…; a default in the declaration makes it optional"
    kept = f"set {name}, or {VALUE_OF}{name}, from where the pipeline keeps its secrets"
    what = f" ({declaration.description})" if declaration.description else ""
    message = f"{name} {'is set but empty' if emptied else 'is not set'}{what}"
    hint = kept if declaration.secret else how
    return _at(manifest.document, name, Code.MISSING, message, hint, _used_here(name, use))


def misspelt(declared: Iterable[str], environ: Mapping[str, str]) -> Iterator[str]:
    """A remark for each `QARUNNER_VAR_…` that is most likely a declared variable, misspelt: it gives no value."""
    known = tuple(declared)
    names = sorted(name.removeprefix(VALUE_OF) for name in environ if name.startswith(VALUE_OF))
    for name in names:
        if name not in known and (near := closest(name, known)):
            yield f"{VALUE_OF}{name} gives no declared variable its value: did you mean {VALUE_OF}{near}?"


def _check_overrides(manifest: Manifest, values: Values) -> Iterator[Diagnostic]:
    """Overrides that cannot hold. Values of `env` are looked at again where they are used."""
    known, keys = (*manifest.env, *manifest.vars), _credential_values(manifest, values)
    of_vars = {name: text for name in manifest.vars if (text := values.override(name)) is not None}
    for name, text in {**of_vars, **values.overrides}.items():
        place = values.places.get(name)
        if name in manifest.vars and _is_secret(manifest, values, name):
            yield _secret_in_vars(manifest, values, name)
            continue
        is_list = isinstance(manifest.vars.get(name), list)
        texts = _texts(text, is_list=is_list)
        is_key = any(_is_credential(part, keys) for part in texts)
        if name in manifest.vars and (is_key or any(map(shaped_like_secret, texts))):
            what = "holds a vendor's credential" if is_key else "looks like a secret"
            hint = "a secret comes from an environment variable that env declares with secret: true"
            message = f"--var {name}: the value {what}"
            yield _in_file(manifest, ("vars", name), message, Code.LOOKS_SECRET, hint, place)
        if is_list:
            yield from _no_list(manifest, name, text, place)
        elif name in values.lists and getattr(manifest.env.get(name), "format", None) != LIST:
            yield _unexpected_list(manifest, name, place)
        if unwritable := _unwritable(texts):
            code, what = unwritable
            if name in manifest.env:
                yield _at(manifest.document, name, code, f"the value of {name} {what}")
            else:
                yield _in_file(manifest, (), f"--var {name}: the value {what}", code, None, place)
        if name not in known:
            hint = choose(name, known) if known else "the manifest has no variable under env or vars"
            message = f"--var {name}: the manifest does not declare {name}"
            yield _in_file(manifest, ("env",), message, Code.UNKNOWN_OVERRIDE, hint, place)


def _no_list(manifest: Manifest, name: str, text: str, place: Place | None) -> Iterator[Diagnostic]:
    """What speaks against a value that is to take the place of a list under `vars`."""
    if reason := _misfit_of_list(EnvDeclaration(name=name), text, Steps()):
        yield _in_file(manifest, ("vars", name), f"--var {name}: {reason}", Code.BAD_VALUE, _LIST_HINT, place)


def _unexpected_list(manifest: Manifest, name: str, place: Place | None) -> Diagnostic:
    """A file gives a list to what is a text."""
    section, hint = "env", f"write one text, or declare {name}: {{ format: list }}"
    if name in manifest.vars:
        section, hint = "vars", f"write one value, or make vars.{name} a list"
    message = f"--var {name}: the value is a list, and {section}.{name} is not"
    path = (section, name) if name in manifest.env or name in manifest.vars else ()
    return _in_file(manifest, path, message, Code.BAD_VALUE, hint, place)


def _in_file(
    manifest: Manifest, path: Path, message: str, code: Code, hint: str | None, place: Place | None
) -> Diagnostic:
    """A problem with --var, or at its line of a --var-file, whose text is not shown: it may hold secrets."""
    diagnostic = problem(manifest.document, path, message, code=code, hint=hint, key=bool(path))
    if place is None:
        return diagnostic
    return replace(diagnostic, place=place, message=message.removeprefix("--var "), source=None)


# --- credentials ------------------------------------------------------------------------------------------------------


def _declared_credentials(manifest: Manifest, values: Values) -> Iterator[Diagnostic]:
    names = {name.upper() for name in values.credentials | frozenset(values.vendor_keys.values())}
    for declaration in manifest.env.values():
        if declaration.name.upper() in names:
            yield _credential(manifest.document, declaration.name)


def _credential_values(manifest: Manifest, values: Values) -> tuple[str, ...]:
    """The texts of all credentials.

    Without those that the manifest names and the pipeline does not let go: a comparison with one would tell of it.
    """
    keys, allowed = values.vendor_keys, values.allow_secrets
    named = {*values.credentials, *keys.values()}
    for vendor, name in _chosen_keys(manifest.document):
        if secret.key_may_go_to(name, vendor, keys=keys, allowed=allowed):
            named.add(name)
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
    chosen = {
        vendor: name for vendor, body in manifest.vendors.items() if isinstance(name := body.get("api_key_env"), str)
    }
    problems = []
    for vendor, name in chosen.items():
        owners = _owners(name, chosen, vendor_keys)
        if owners and vendor not in owners:
            message = f"{name} is the credential of {min(owners)}: it is never sent to {vendor}"
            problems.append(_bad_key(manifest, vendor, Code.FOREIGN_KEY, message, _example(vendor, vendor_keys)))
        elif not (allow_secrets is None or secret.key_may_go_to(name, vendor, keys=vendor_keys, allowed=allow_secrets)):
            message = f"{name} would be sent to {vendor}, and its name does not say that it belongs there"
            hint = f"give --allow-secret {name} (or QARUNNER_ALLOW_SECRETS={name}), or {_example(vendor, vendor_keys)}"
            problems.append(_bad_key(manifest, vendor, Code.KEY_NOT_ALLOWED, message, hint))
    return tuple(problems)


def _owners(name: str, chosen: Mapping[str, str], keys: Mapping[str, str]) -> frozenset[str]:
    """The vendors whose credential a variable is: by default, else by their own choice and with their own word."""
    named = (vendor for vendor, key in chosen.items() if key == name and secret.named_after(vendor, name, keys))
    return secret.owners_of_key(name, keys) or frozenset(named)


def _bad_key(manifest: Manifest, vendor: str, code: Code, message: str, hint: str) -> Diagnostic:
    return problem(manifest.document, ("vendors", vendor, "api_key_env"), message, code=code, hint=hint)


def _example(vendor: str, keys: Mapping[str, str]) -> str:
    words = secret.words_of(vendor, keys)
    return f"name a variable with {words[0]} in its name" if words else f"name {keys.get(vendor, 'the default one')}"
