"""What an organisation gives to all its manifests: the lowest layer, and limits that a manifest can only tighten."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from msgspec.structs import replace

from qarunner.decode import amount, as_mapping, texts
from qarunner.diagnostics import Diagnostic, Path, Place, in_order, problem
from qarunner.entry import EXPANDING_KEYS
from qarunner.errors import ManifestError, UserError
from qarunner.known import holds_template
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import RowLocator, layer_of, overlay_row
from qarunner.manifest.model import BASE, Manifest, Row
from qarunner.manifest.schema import validate as schema
from qarunner.manifest.select import Vocabulary, parse
from qarunner.manifest.templates.parse import parse as template
from qarunner.manifest.yaml.reader import ABSENT, Document, read
from qarunner.secret import OPEN
from qarunner.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date


class BaseText(NamedTuple):
    """The file that the pipeline names: its name for messages, and what it holds."""

    name: str
    text: bytes


class OverBase(Document):
    """A manifest over its base, as one document. What the base says lies below `base`.

    The place of what stands in the base alone is its line there.
    """

    __slots__ = ("_base", "_main")

    def __init__(self, main: Document, base: Document) -> None:
        self.name = main.name
        self.data = main.data
        self._main = main
        self._base = base

    def at(self, path: Path) -> object:
        return self._base.at(path[1:]) if path[:1] == (BASE,) else self._main.at(path)

    def locate(self, path: Path, *, key: bool = False) -> Place:
        if path[:1] == (BASE,):
            return self._base.locate(path[1:], key=key)
        is_lower = self._main.at(path) is ABSENT and self._base.at(path) is not ABSENT
        return (self._base if is_lower else self._main).locate(path, key=key)

    def source_line(self, place: Place) -> str | None:
        return (self._base if place.file == self._base.name else self._main).source_line(place)


def read_base(text: BaseText) -> tuple[Document, tuple[Diagnostic, ...]]:
    """A base, and what is wrong with it. ManifestError if it cannot be read."""
    base = read(text.name, text.text, start="defaults: { … }, or limits: { … }")
    problems = list(schema.placed(base, schema.faults(base.data, part="base")))
    for expression in as_mapping(base.data.get("entries")):
        try:
            parse(expression)
        except UserError as error:
            path: Path = ("entries", expression)
            message = error.message.replace("--select", "entries", 1)
            problems.append(problem(base, path, message, code=Code.BASE_ENTRIES, hint=error.hint, key=True))
    return base, in_order(problems)


def over_base(manifest: Manifest, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows, over what the base says of entries: an expression chooses them as they are without it."""
    path = (BASE, "entries")
    if not manifest.section(path):
        return rows
    expressions = manifest.section(path)
    pairs = len(expressions) * len(rows)
    if pairs > MOST_PAIRS:
        message = f"entries: {plural(len(expressions), 'expression')} would be looked up for {plural(len(rows), 'row')}"
        hint = f"at most {MOST_PAIRS:,} pairs are taken: choose more rows with one expression, such as label:smoke"
        raise ManifestError([problem(manifest.document, path, message, code=Code.TOO_MUCH_WORK, hint=hint)])
    below: dict[str, list[Path]] = {}
    vocabulary = Vocabulary(rows)
    for expression in expressions:
        for row in vocabulary.select([expression]):
            below.setdefault(row.id, []).append((*path, expression))
    return tuple(_lying_over(manifest, row, below[row.id]) if row.id in below else row for row in rows)


MOST_PAIRS = 2_000_000
"""Expressions of the base times rows: a microsecond or two each."""


def _lying_over(manifest: Manifest, row: Row, more: Sequence[Path]) -> Row:
    """The row with layers that lie over those of the base, and below all others; the last of them is the highest."""
    own_layers = [path for path in row.layers if path[0] != BASE]
    layers = (*own_layers, *reversed(more), *(path for path in row.layers if path[0] == BASE))
    data: dict[str, object] = {}
    for path in reversed(layers):
        data = overlay_row(data, manifest.section(path))
    data = {key: value for key, value in data.items() if key not in EXPANDING_KEYS}
    return replace(row, data={**data, "id": row.id}, layers=layers)


# --- limits -----------------------------------------------------------------------------------------------------------


def check_limits(manifest: Manifest, rows: Sequence[Row], *, later: bool = True) -> tuple[Diagnostic, ...]:
    """What goes beyond the limits of the base. `later`: what a template decides may turn out to be right."""
    if not manifest.limits:
        return ()
    return in_order(
        [*_budget(manifest), *_prices(manifest), *_vendors(manifest, rows), *_hosts(manifest, rows, later=later)]
    )


def _budget(manifest: Manifest) -> Iterator[Diagnostic]:
    """A budget of the manifest that is wider than the limit; that of the base itself holds beside it."""
    for key in ("max_tests", "max_cost"):
        budget, limit = manifest.document.data.get("budget"), manifest.limits.get(key)
        value = as_mapping(budget).get(key)
        try:
            is_wider = limit is not None and value is not None and amount(value) > amount(limit)
        except ValueError:  # the schema has said so
            continue
        if is_wider:
            message = f"budget: {key} is {value}, and the base allows {limit}"
            yield _beyond(manifest, ("budget", key), key, message, "lower it, or leave it out: the base's limit holds")


def _prices(manifest: Manifest) -> Iterator[Diagnostic]:
    """Prices below those of the base: under a limit of money they would let more runs through."""
    if "max_cost" not in manifest.limits:
        return
    for vendor, settings in manifest.section((BASE, "vendors")).items():
        usual = as_mapping(as_mapping(settings).get("price"))
        price = as_mapping(as_mapping(manifest.vendors.get(vendor)).get("price"))
        for key in ("per_test", "per_run"):
            least, value = usual.get(key), price.get(key, 0)
            try:
                is_lower = least is not None and value != least and amount(value) < amount(least)
            except ValueError:  # a template, or no amount
                is_lower = isinstance(value, str) and holds_template(value)
            if is_lower:
                message = f"price: {key} of {vendor} is {value}, and the base says {least}: its limit would hold less"
                hint = "take the price of the base, or a higher one"
                yield _beyond(manifest, ("vendors", vendor, "price", key), "max_cost", message, hint)


def _listed(manifest: Manifest, key: str) -> list[str] | None:
    value = manifest.limits.get(key)
    return [str(item) for item in value] if isinstance(value, list) else None


def _vendors(manifest: Manifest, rows: Sequence[Row]) -> Iterator[Diagnostic]:
    allowed = _listed(manifest, "vendors")
    reported: set[Place] = set()
    if allowed is None:
        return
    for row in rows:
        vendor = row.data.get("vendor")
        if not isinstance(vendor, str) or vendor in allowed:
            continue
        place = RowLocator(manifest, row).locate(("vendor",))
        if place not in reported:
            reported.add(place)
            message, hint = f"vendor: the base does not allow {vendor}", f"it allows {', '.join(allowed)}"
            yield _beyond(manifest, ("vendor",), "vendors", message, hint, row)


def _hosts(manifest: Manifest, rows: Sequence[Row], *, later: bool) -> Iterator[Diagnostic]:
    allowed = _listed(manifest, "hosts")
    reported: set[tuple[Place, str]] = set()
    if allowed is None:
        return
    for row in rows:
        for path, url in texts({key: row.data.get(key) for key in ("target", "options")}):
            if not (url.lower().startswith(("https://", "http://")) or _is_secret(url, path)):
                continue
            host = None if later and _is_open(url) else _host(url)
            if host is None or any(_allows(pattern, host) for pattern in allowed):
                continue
            place = RowLocator(manifest, row).locate(path)
            if (place, host) not in reported:
                reported.add((place, host))
                shown = "a host that is not certain" if OPEN in host else host
                message, hint = f"the base does not allow {shown}", f"it allows {', '.join(allowed)}"
                yield _beyond(manifest, path, "hosts", message, hint, row)


def _is_secret(value: str, path: Path) -> bool:
    """A URL that is a secret as a whole."""
    return value.startswith(OPEN) and path in {("target", "web_url"), ("target", "binary_url")}


def _is_open(url: str) -> bool:
    """True while a template decides where a URL leads."""
    return holds_template(re.split(r"[/\\?#]", url.partition("//")[2], maxsplit=1)[0]) or holds_template(
        url.partition("//")[0]
    )


def _host(url: str) -> str:
    """Where a URL leads, as a browser reads it."""
    try:
        host = urlsplit(url.replace("\\", "/")).hostname
    except ValueError:
        host = None
    return (host or url).lower().rstrip(".")


def _allows(pattern: str, host: str) -> bool:
    """`*.example.com` is each host below example.com; a pattern has no other sign of its own."""
    return fnmatchcase(host, pattern) if pattern.startswith("*.") else host == pattern


def check_days(manifest: Manifest, rows: Sequence[Row], today: date) -> Iterator[Diagnostic]:
    """Quarantines of the manifest that last longer than the base allows. The base's own list is its own matter."""
    limit = manifest.limits.get("quarantine_days")
    reported: set[Place] = set()
    if not isinstance(limit, int):
        return
    for row in rows:
        for what, until in _ends(manifest, row):
            days = _days(until, today)
            place = RowLocator(manifest, row).locate(_UNTIL)
            if days is not None and days > limit and place not in reported:
                reported.add(place)
                message = f"{what}: until {until} is {plural(days, 'day')}, and the base allows {limit}"
                yield _beyond(manifest, _UNTIL, "quarantine_days", message, "choose an earlier day", row)


_UNTIL = ("quarantine", "until")


def _ends(manifest: Manifest, row: Row) -> Iterator[tuple[str, object]]:
    """The last days of a row's quarantine, as far as the manifest says them: of an expression, those it can choose."""
    written = row.data.get("quarantine")
    if isinstance(written, str):
        for reference in template(written).references:
            if reference.root == "vars" and reference.path:
                yield (
                    f"quarantine: vars.{reference.path[0]}",
                    as_mapping(manifest.vars.get(reference.path[0])).get("until"),
                )
        return
    layer = layer_of(manifest, row, _UNTIL)
    # What the base reads from the manifest's vars, the manifest says.
    if layer[:1] != (BASE,) or isinstance(manifest.section(layer).get("quarantine"), str):
        yield "quarantine", as_mapping(written).get("until")


def _days(until: object, today: date) -> int | None:
    try:
        return (type(today).fromisoformat(str(until)) - today).days
    except ValueError:  # no day: that is said elsewhere
        return None


def _beyond(manifest: Manifest, path: Path, limit: str, message: str, hint: str, row: Row | None = None) -> Diagnostic:
    """A problem at the manifest's line, with the line of the base."""
    locator = manifest.document if row is None else RowLocator(manifest, row)
    related = (manifest.document.locate((BASE, "limits", limit)), "the limit stands here")
    return problem(locator, path, message, code=Code.LIMIT, hint=hint, related=(related,))
