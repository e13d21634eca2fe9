"""Manifests at random, over the whole language: every key, all four vendors, variants, axes, profiles, templates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

import yaml
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

Data: TypeAlias = "dict[str, object]"

WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=6)
NAMES = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S"], exclude_characters="{}⟦⟧"), min_size=1, max_size=9
)
NUMBERS = st.integers(1, 10**6)
UUIDS = st.uuids().map(str)
DURATIONS = st.sampled_from(["30s", "10m", "1h30m", "45m", "{{ vars.patience }}"])
URLS = st.sampled_from(
    [
        "https://staging.example.com",
        "{{ env.STAGING_URL }}",
        "{{ env.STAGING_URL }}/{{ matrix.entry | urlencode }}",
        "https://{{ vars.host }}/?l={{ env.LOCALE }}&id={{ matrix.id | urlencode }}",
        "https://staging.example.com/{% if env.LOCALE == 'en' %}en{% else %}de{% endif %}",
    ]
)
DAY = "2030-01-01"
"""Plans are made on this day, so that quarantines hold or have ended."""


def some(keys: dict[str, SearchStrategy[object]]) -> SearchStrategy[Data]:
    """A mapping with any of these keys."""
    return st.fixed_dictionaries({}, optional=keys)


def lists(item: SearchStrategy[object], most: int = 3) -> SearchStrategy[list[object]]:
    return st.lists(item, min_size=1, max_size=most, unique_by=repr)


WORD_LIST = {"format": "list", "default": ["smoke", "login"]}
FLAKY = {"reason": "r", "owner": "{{ env.LOCALE }}", "until": "2099-01-01"}


LOCK = """\
version: 1
day: "2029-12-31"
locked:
  - vendor: "certyn"
    project: "shop"
    categories: { "Smoke": { "smoke-suite": "Smoke" } }
  - vendor: "docketqa"
    categories: { "Smoke": { "7": "Smoke" } }
    tests:
      "Checkout flow": { "12": "Checkout flow" }
      "Log*": { "13": "Login", "12": "Log of checkout" }
      "Pay: €?": { "1": "Pay: €?" }
  - vendor: "testerarmy"
    categories: { "Smoke": { "3f2b8c1e-5d4a-4c7b-9e6f-0a1b2c3d4e5f": "Smoke" } }
    environments: { "Staging": { "3f2b8c1e-5d4a-4c7b-9e6f-0a1b2c3d4e5a": "Staging" } }
"""
"""The lock of these manifests: it lies beside each of them."""
SMOKE: Data = {"categories": ["Smoke"]}


# --- what every entry can have ----------------------------------------------------------------------------------------

QUARANTINES = st.fixed_dictionaries(
    {"reason": NAMES, "owner": NAMES, "until": st.sampled_from(["2029-12-31", DAY, "2030-01-05", "2099-01-01"])}
)
POLICIES = some(
    {
        "name": st.one_of(NAMES, st.just("{{ matrix.id }} in {{ env.LOCALE | upper }}")),
        "description": NAMES,
        "labels": st.one_of(lists(WORDS), st.sampled_from(["{{ vars.words }}", "{{ env.WORDS }}"])),
        "timeout": DURATIONS,
        "allow_failure": st.one_of(st.booleans(), st.just("{{ git.branch != 'main' }}")),
        "retries": some({"failed": st.integers(0, 5), "infra": st.integers(0, 5)}),
        "quarantine": st.one_of(QUARANTINES, st.just("{{ vars.flaky if env.LOCALE == 'en' else false }}")),
    }
)


# --- vendors ----------------------------------------------------------------------------------------------------------


def _by(*selections: Data) -> SearchStrategy[Data]:
    return st.sampled_from(selections)


@st.composite
def doksi(draw: DrawFn) -> Data:
    kind = draw(st.sampled_from(["test_ids", "category_ids"]))
    entry: Data = {"vendor": "doksi", kind: draw(lists(st.one_of(WORDS, st.just("{{ vars.test }}"))))}
    if draw(st.booleans()):
        entry |= {"platform": "web", "target": {"web_url": draw(URLS)}}
    else:
        target = draw(st.sampled_from([{"binary_url": "https://example.com/a.apk"}, {"target_id": "tgt_1"}]))
        entry |= {"platform": "android", "target": target}
    strategy = draw(st.sampled_from(["none", "generated", "specific", None]))
    if strategy is not None:
        account = {"account_id": draw(WORDS)} if strategy == "specific" else {}
        entry["artifacts"] = [{"type": "authentication", "strategy": strategy, **account}]
    return entry


@st.composite
def docketqa(draw: DrawFn) -> Data:
    if draw(st.booleans()):
        names = lists(st.sampled_from(["Checkout flow", "Log*", "Pay: €?"]))
        ids = lists(st.one_of(NUMBERS, NUMBERS.map(str)))
        tests = st.one_of(ids.map(lambda found: {"test_ids": found}), names.map(lambda found: {"tests": found}))
        return {"vendor": "docketqa", **draw(tests)}
    entry: Data = {"vendor": "docketqa", **draw(st.one_of(NUMBERS.map(_category), st.just(SMOKE)))}
    if draw(st.booleans()):
        entry |= {"platform": "web", "target": {"web_url": draw(URLS)}}
        entry["options"] = draw(
            some({"login_url": URLS, "test_urls": st.dictionaries(NUMBERS.map(str), URLS, min_size=1)})
        )
    return entry


@st.composite
def testerarmy(draw: DrawFn) -> Data:
    if draw(st.booleans()):
        entry: Data = {"vendor": "testerarmy", "test_ids": [draw(UUIDS)]}
        entry["options"] = draw(some({"mode": st.sampled_from(["fast", "deep"])}))
        return entry
    entry = {"vendor": "testerarmy", **draw(st.one_of(UUIDS.map(_category), st.just(SMOKE)))}
    if draw(st.booleans()):
        entry |= {
            "platform": "web",
            "target": draw(st.one_of(URLS.map(lambda url: {"web_url": url}), st.one_of(UUIDS, SAVED).map(_saved))),
        }
    return entry


SAVED = st.just("Staging")


def _category(identifier: object) -> Data:
    return {"category_ids": [identifier]}


def _saved(name: str) -> dict[str, str]:
    return {"environment": name}


@st.composite
def certyn(draw: DrawFn) -> Data:
    by: SearchStrategy[Data] = st.one_of(
        WORDS.map(_category),
        st.just(SMOKE),
        lists(WORDS).map(lambda words: {"tags": words}),
        st.sampled_from([{"tags": "{{ env.WORDS }}"}, {"tags": "{{ vars.words }}"}]),
        NAMES.map(lambda text: {"options": {"instruction": text}}),
    )
    target: SearchStrategy[Data] = st.sampled_from([{}, {"target": {"environment": "staging"}}, {"platform": "web"}])
    return {"vendor": "certyn", **draw(by), **draw(target)}


VENDORS: tuple[Callable[[], SearchStrategy[Data]], ...] = (doksi, docketqa, testerarmy, certyn)


# --- a manifest -------------------------------------------------------------------------------------------------------


@st.composite
def entries(draw: DrawFn, number: int) -> Data:
    entry: Data = {"id": f"e{number}", **draw(draw(st.sampled_from(VENDORS))()), **draw(POLICIES)}
    if not {"category_ids", "categories", "tags"}.isdisjoint(entry):
        entry |= draw(some({"estimate": st.integers(1, 50)}))
    if draw(st.integers(0, 3)) == 0:
        axes = draw(
            st.dictionaries(
                WORDS.map(lambda word: f"a_{word}"),
                st.lists(AXIS, min_size=1, max_size=3, unique_by=lambda value: str(value).lower()),
                min_size=1,
                max_size=2,
            )
        )
        entry["axes"] = axes
        if draw(st.booleans()):
            entry |= _excluding(axes)
        entry["name"] = "{{ matrix." + next(iter(axes)) + " }}!"
    if draw(st.integers(0, 3)) == 0:
        entry["variants"] = draw(st.dictionaries(WORDS, st.one_of(st.none(), POLICIES), min_size=1, max_size=3))
    return entry


CONDITIONS = (True, False, "{{ git.branch == 'main' }}", "{{ env.LOCALE != 'en' }}", "{{ matrix.id == 'e1' }}")
AXIS = st.one_of(WORDS, st.integers(-5, 99), st.booleans())


def _excluding(axes: Mapping[str, Sequence[object]]) -> Data:
    """Leaves out the first point of the axes, where another one is left."""
    if all(len(values) == 1 for values in axes.values()):
        return {}
    return {"exclude": [{name: values[0] for name, values in axes.items()}]}


SETTINGS = some(
    {
        "poll": some({"every": st.sampled_from(["5s", "10s"]), "max": st.sampled_from(["30s", "1m"])}),
        "rate": some(dict.fromkeys(("reads", "creates", "all"), st.sampled_from(["60/min", "2/s", "100/h"]))),
        "max_in_flight": st.integers(1, 20),
        "price": some(
            {
                "per_test": st.one_of(st.sampled_from([0, 0.1, "0.25", 3]), st.floats(0, 1000)),
                "per_run": st.decimals(0, 1000, places=4).map(str),
            },
        )
        .filter(bool)
        .map(lambda amounts: {**amounts, "currency": "EUR"}),
    }
)


@st.composite
def manifests(draw: DrawFn) -> Data:
    """A manifest that is valid, as plain data."""
    matrix = [draw(entries(number)) for number in range(draw(st.integers(1, 4)))]
    for number, entry in enumerate(matrix[1:], 1):
        if draw(st.integers(0, 3)) == 0:
            entry["needs"] = [f"e{draw(st.integers(0, number - 1))}"]
        if draw(st.integers(0, 3)) == 0:
            entry["if"] = draw(st.sampled_from(CONDITIONS))
    settings = draw(
        st.fixed_dictionaries({"certyn": SETTINGS}, optional=dict.fromkeys(("doksi", "docketqa"), SETTINGS))
    )
    certyn_settings = {**settings["certyn"], "project": "shop"}
    faults: Data = {
        "version": 1,
        "name": draw(NAMES),
        "env": {
            "STAGING_URL": {"format": "uri"},
            "LOCALE": {"default": "en", "enum": ["en", "de"]},
            "WORDS": WORD_LIST,
        },
        "vars": {
            "patience": "5m",
            "host": "example.com",
            "test": "t-{{ env.LOCALE }}",
            "words": ["w", "v"],
            "flaky": FLAKY,
        },
        "vendors": {**settings, "certyn": certyn_settings},
        "matrix": matrix,
        **draw(
            some(
                {
                    "defaults": some({"timeout": DURATIONS, "labels": lists(WORDS), "allow_failure": st.booleans()}),
                    "gate": some({"min_tests": st.integers(0, 5), "on_skipped": st.sampled_from(["pass", "fail"])}),
                    "budget": st.just({"max_tests": 10**6, "per_vendor": {"doksi": 10**6}, "count_retries": True}),
                    "reports": st.just([{"format": "junit", "path": "qa.xml"}]),
                    "x-notes": st.recursive(st.one_of(st.none(), NAMES, st.integers()), lists),
                }
            )
        ),
    }
    if draw(st.booleans()):
        faults["profiles"] = {"nightly": draw(some({"vars": st.just({"host": "n.example"}), "defaults": POLICIES}))}
    return faults


BASES: SearchStrategy[Data] = some(
    {
        "defaults": some({"timeout": DURATIONS, "labels": lists(WORDS), "retries": st.just({"failed": 1})}),
        "vendors": some({"doksi": SETTINGS, "docketqa": SETTINGS}),
        "gate": some({"min_tests": st.integers(1, 5), "on_skipped": st.sampled_from(["pass", "fail"])}),
        "entries": st.dictionaries(
            st.sampled_from(["vendor:doksi", "label:smoke", "e0", "!e1"]),
            some({"timeout": DURATIONS, "allow_failure": st.booleans(), "owner": NAMES}),
            min_size=1,
            max_size=2,
        ),
        "limits": some(
            {
                "max_tests": st.sampled_from([1, 10**6]),
                "vendors": st.sampled_from([["doksi", "docketqa", "testerarmy", "certyn"], ["doksi"]]),
                "hosts": st.sampled_from([["*.example.com", "*.example", "example.com"], ["other.test"]]),
                "quarantine_days": st.sampled_from([1, 3650]),
            }
        ).filter(bool),
    }
)
"""What lies below all manifests: without `limits`, no valid manifest becomes wrong over it."""


class Dumper(yaml.SafeDumper):
    """Writes YAML 1.1, in which fewer texts look like numbers than in 1.2: all but plain words are quoted."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = text.isascii() and text.replace("_", "a").isalpha()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


Dumper.add_representer(str, _text)


def _dumped(data: Data, *, flow: bool | None, ascii_only: bool) -> str:
    return str(
        yaml.dump(
            data,
            Dumper=Dumper,
            sort_keys=False,
            default_flow_style=flow,
            width=10**6,
            allow_unicode=not ascii_only,
        )
    )


@st.composite
def texts(draw: DrawFn) -> str:
    """A valid manifest as somebody could have written it: JSON, flow style or block style."""
    data = draw(manifests())
    match draw(st.integers(0, 2)):
        case 0:
            return json.dumps(data, ensure_ascii=False, indent=draw(st.sampled_from([None, 2])))
        case 1:
            return _dumped(data, flow=None, ascii_only=draw(st.booleans()))
        case _:
            return _dumped(data, flow=False, ascii_only=draw(st.booleans()))
