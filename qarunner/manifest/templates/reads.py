"""What a row's templates read: each variable, value of `vars` and fact, with where its value comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner.diagnostics import Place
from qarunner.known import Refused, Unknown
from qarunner.manifest.expand import SectionLocator
from qarunner.manifest.templates.env import Values, replacement
from qarunner.manifest.templates.expression import Later
from qarunner.manifest.templates.parse import parse
from qarunner.manifest.templates.scope import templates_in
from qarunner.manifest.yaml.reader import ABSENT
from qarunner.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qarunner.manifest.model import Manifest, Row
    from qarunner.manifest.templates.evaluate import Evaluated


class Read(Struct, frozen=True, kw_only=True):
    """A name that a template reads. `unknown` says why it has no value; the place is that of its declaration.

    Facts of the build stand in no file. `source` is what gives the value: a layer, an option or a variable.
    """

    path: str
    value: object
    source: str
    place: Place | None
    unknown: str | None = None


def reads_of(manifest: Manifest, row: Row, evaluated: Evaluated, values: Values) -> Iterator[Read]:
    """Everything that a row's values depend on, near or far: `vars` can read variables and facts."""
    settings = manifest.vendors.get(str(row.data.get("vendor")), {})
    first = _names(row.data, settings)
    through = [name for root, name in first if root == "vars" and replacement(manifest, values, name) is None]
    names = dict.fromkeys([*first, *_names([manifest.vars.get(name) for name in through])])
    for root, name in names:
        match root:
            case "vars":
                yield _of_vars(manifest, values, name)
            case "env" if name in manifest.env:
                yield _of_env(manifest, evaluated, values, name)
            case "git" | "ci":
                yield _of_build(values, root, name)
            case _:
                pass


def _names(*parts: object) -> list[tuple[str, str]]:
    """Roots and names. A part of `vars` that a computed name chooses is left out: it can be any."""
    texts = dict.fromkeys(text for part in parts for _, text in templates_in(part))
    pairs: Iterable[tuple[str, str]] = (
        (reference.root, reference.path[0]) for text in texts for reference in parse(text).references if reference.path
    )
    return list(dict.fromkeys(pairs))


def _of_vars(manifest: Manifest, values: Values, name: str) -> Read:
    layers = manifest.layers("vars")
    layer = next((path for path in layers if manifest.document.at((*path, name)) is not ABSENT), ("vars",))
    place = SectionLocator(manifest, "vars").locate((name,))
    path, written = f"vars.{name}", manifest.vars.get(name)
    if (given := replacement(manifest, values, name)) is not None:
        return Read(path=path, value=given, source=values.source(name), place=values.places.get(name))
    return Read(path=path, value=written, source=f"profile {layer[1]}" if len(layer) > 1 else "vars", place=place)


def _of_env(manifest: Manifest, evaluated: Evaluated, values: Values, name: str) -> Read:
    declaration = manifest.env[name]
    looked_up = values.lookup(declaration)
    value = MASK if declaration.secret else evaluated.env.get(name)
    unknown = value.why[0] if isinstance(value, Later) else None
    if declaration.secret and looked_up.text is None:
        unknown = f"{name} is not set"
    source = "not known" if unknown else looked_up.source
    place = values.places.get(name) or manifest.document.locate(declaration.path, key=True)
    return Read(path=f"env.{name}", value=None if unknown else value, source=source, place=place, unknown=unknown)


def _of_build(values: Values, root: str, name: str) -> Read:
    value = {"git": values.git, "ci": values.ci}[root].get(name)
    path, source = f"{root}.{name}", "the build"
    if isinstance(value, (Unknown, Refused)):
        return Read(path=path, value=None, source="not known", place=None, unknown=value.why)
    unknown = f"this build has no {name}" if value is None else None
    return Read(path=path, value=value, source=source, place=None, unknown=unknown)
