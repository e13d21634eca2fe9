"""The environment meets the declarations: which values templates get, and which of them are secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qarunner import secret
from qarunner.diagnostics import Diagnostic, Locator, Path, choose, problem
from qarunner.manifest.codes import Code
from qarunner.manifest.declarations import CREDENTIALS, KEY_OF, credential, key_names, misfit, shaped_like_secret, typed
from qarunner.manifest.expression import LONGEST_TEXT
from qarunner.manifest.permissions import Permissions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qarunner.manifest.model import EnvDeclaration, Manifest

_CONTAINED = 8
"""Credentials shorter than this are compared as a whole; longer ones are also looked for inside of values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Everything from outside that templates can depend on.

    `env` is like os.environ; `overrides` are the `--var` options and win over it and over `vars`. `allow_secrets` are
    the words of --allow-secret and QARUNNER_ALLOW_SECRETS (see `permissions`). `credentials` names the variables that
    templates can never read, and `vendor_keys` gives each vendor's default one. `git` and `ci` have the fields of
    `expression.FIELDS`.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    allow_secrets: frozenset[str] = frozenset()
    credentials: frozenset[str] = frozenset()
    git: Mapping[str, str | None] = field(default_factory=dict)
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
