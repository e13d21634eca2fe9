"""`needs`: what it names, what is wrong with it, and how far it reaches."""

from __future__ import annotations

import pytest

from qarunner.manifest.codes import Code
from qarunner.manifest.expand import expand
from qarunner.manifest.needs import check_needs, closure, resolve
from tests.matrices import manifest, only

SHOP = """matrix:
  - id: checkout
    vendor: certyn
    category_ids: [c]
    variants: { web: {}, android: { needs: [checkout/web] } }
  - { id: search, vendor: certyn, category_ids: [c], needs: [%s] }
  - { id: last, vendor: certyn, category_ids: [c], needs: [%s] }
"""


def problems(first: str, second: str) -> list[tuple[str, str, str | None]]:
    subject = manifest(SHOP % (first, second))
    return [(str(problem.place), problem.message, problem.hint) for problem in check_needs(subject, expand(subject))]


def test_an_entry_stands_for_all_of_its_rows() -> None:
    rows = expand(manifest(SHOP % ("checkout", "search, checkout/web, checkout")))
    assert resolve(rows) == {
        "checkout/android": ("checkout/web",),
        "search": ("checkout/web", "checkout/android"),
        "last": ("search", "checkout/web", "checkout/android"),
    }
    assert problems("checkout", "search") == []


def test_what_is_needed_is_followed_to_its_end() -> None:
    needs = {"a": ("b", "c"), "b": ("d",), "c": ("d",), "e": ("a",)}
    assert closure(["a"], needs) == {"a": None, "b": "a", "c": "a", "d": "b"}
    assert closure(["b", "a"], needs) == {"b": None, "a": None, "d": "b", "c": "a"}
    assert closure([], needs) == {}


def test_unknown_ids_have_their_closest_match() -> None:
    assert problems("chekout", "checkout/ios, nothing-like-it") == [
        ("qa-matrix.yml:8:62", "needs: there is no entry 'chekout'", "did you mean 'checkout'?"),
        ("qa-matrix.yml:9:60", "needs: there is no entry 'checkout/ios'", "did you mean 'checkout'?"),
        (
            "qa-matrix.yml:9:74",
            "needs: there is no entry 'nothing-like-it'",
            "needs names entries or rows of this matrix: checkout, checkout/android, checkout/web, last, search",
        ),
    ]


@pytest.mark.parametrize(
    ("first", "second", "message", "line"),
    [
        ("search", "", "needs: search needs itself: search → search", 8),
        ("last", "search", "needs: these wait for each other: last → search → last", 9),
        ("last", "checkout, search", "needs: these wait for each other: last → search → last", 9),
    ],
)
def test_cycles_are_shown(first: str, second: str, message: str, line: int) -> None:
    subject = manifest(SHOP % (first, second))
    problem = only(check_needs(subject, expand(subject)))
    assert (problem.code, problem.message, problem.place.line) == (Code.NEEDS_CYCLE, message, line)


def test_an_entry_cannot_need_all_of_its_own_rows() -> None:
    subject = manifest(
        "matrix:\n  - { id: a, vendor: certyn, category_ids: [c], variants: { x: {}, y: { needs: [a] } } }\n"
    )
    assert only(check_needs(subject, expand(subject))).message == "needs: a/y needs itself: a/y → a/y"


def test_a_long_cycle_is_found_without_recursion() -> None:
    count = 3000
    entry = "  - {{ id: e{}, vendor: certyn, category_ids: [c], needs: [e{}] }}\n"
    subject = manifest("matrix:\n" + "".join(entry.format(n, (n + 1) % count) for n in range(count)))
    problem = only(check_needs(subject, expand(subject)))
    assert problem.message.startswith("needs: these wait for each other: e2999 → e0 → e1 → ")
    assert problem.message.endswith("… → e2999")
