from __future__ import annotations

import pytest

from qarunner.errors import UserError
from qarunner.manifest.expand import expand
from qarunner.manifest.model import Row
from qarunner.manifest.select import parse, select, suggestion, unmatched
from tests.matrices import manifest

ROWS = expand(
    manifest("""
matrix:
  - id: checkout
    vendor: doksi
    labels: [smoke, shop]
    test_ids: [a]
    variants: { web: { platform: web }, android: { platform: android, labels: [slow] } }
  - { id: checkout-old, vendor: certyn, category_ids: [b], labels: [smoke] }
""")
)


def chosen(*expressions: str) -> list[str]:
    return [row.id for row in select(ROWS, expressions)]


ALL = ["checkout/web", "checkout/android", "checkout-old"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("checkout/web", ["checkout/web"]),
        ("checkout", ["checkout/web", "checkout/android"]),
        ("checkout*", ALL),
        ("*/web", ["checkout/web"]),
        ("checkout-ol?", ["checkout-old"]),
        ("label:smoke", ["checkout/web", "checkout-old"]),
        ("label:s*", ALL),
        ("vendor:certyn", ["checkout-old"]),
        ("platform:android", ["checkout/android"]),
        ("variant:web", ["checkout/web"]),
        ("!label:smoke", ["checkout/android"]),
        ("!variant:*", ["checkout-old"]),
        ("label:smoke,vendor:doksi", ["checkout/web"]),
        (" label : smoke , ! vendor : doksi ", ["checkout-old"]),
        ("Checkout", []),
        ("checkou", []),
    ],
)
def test_one_expression(expression: str, expected: list[str]) -> None:
    assert chosen(expression) == expected


def test_several_expressions_are_alternatives_in_the_order_of_the_file() -> None:
    assert chosen("vendor:certyn", "checkout/web") == ["checkout/web", "checkout-old"]


def test_no_expression_chooses_everything() -> None:
    assert chosen() == ALL


def test_brackets_belong_to_ids() -> None:
    row = Row("search[locale=en,tier=pro]", {"id": "search"}, (("matrix", 0),), ("matrix", 0))
    other = Row("search[locale=de,tier=pro]", {"id": "search"}, (("matrix", 0),), ("matrix", 0))
    assert select([row, other], ["search[locale=en,tier=pro]"]) == (row,)
    assert select([row, other], ["search[*,tier=pro],!*de*"]) == (row,)


def test_terms_that_name_nothing_are_reported() -> None:
    assert unmatched(ROWS, ["label:smok", "checkout,!platform:ios", "variant:web"]) == ("label:smok", "!platform:ios")


def test_a_term_that_names_nothing_gets_a_suggestion() -> None:
    assert suggestion(ROWS, "label:smok") == "did you mean 'smoke'? Valid: shop, slow, smoke"
    assert suggestion(ROWS, "!checkotu/web").startswith("did you mean 'checkout/web'?")
    assert suggestion(ROWS[2:], "platform:web") == "no row has a platform"


@pytest.mark.parametrize("expression", ["", ",", "a,", "label:", "!", "!!a", "label: ,a"])
def test_empty_terms_are_refused(expression: str) -> None:
    with pytest.raises(UserError, match="names nothing") as caught:
        parse(expression)
    assert caught.value.hint


def test_unknown_terms_are_refused_with_the_closest() -> None:
    with pytest.raises(UserError, match="unknown term 'lable'") as caught:
        parse("lable:smoke")
    assert caught.value.hint == "did you mean 'label'? Valid: id, label, vendor, platform, variant, owner"
