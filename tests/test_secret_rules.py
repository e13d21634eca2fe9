"""What may leave: pure rules about credentials and secrets, which the manifest's check and the transport share."""

from __future__ import annotations

import pytest

from qarunner.secret import certain_host, key_may_go_to, needed_permission, secret_may_go_to, words_of

KEYS = {"doksi": "DOKSI_API_KEY", "docketqa": "DOCKET_API_KEY", "certyn": "CERTYN_API_KEY"}


def may_go(text: str, *allowed: str, vendor: str = "doksi", is_url: bool = False) -> bool:
    return secret_may_go_to("TOKEN", text, vendor=vendor, allowed=allowed, is_url=is_url)


@pytest.mark.parametrize(
    ("variable", "vendor"),
    [
        *(("DOKSI_API_KEY", "doksi"), ("MY_DOKSI_KEY", "doksi"), ("DOCKET_KEY_2", "docketqa")),
        *(("DOCKETQA_KEY", "docketqa"), ("ACME_QA_TOKEN", "acme-qa"), ("X_ACME", "acme")),
    ],
)
def test_a_key_with_the_vendors_own_word_may_go_there(variable: str, vendor: str) -> None:
    assert key_may_go_to(variable, vendor, keys=KEYS, allowed=())


@pytest.mark.parametrize(
    ("key", "words"),
    [
        *(("QA_API_KEY", ("QA", "ACME_QA")), ("QA_API_TOKEN", ("QA", "ACME_QA")), ("qa_key", ("QA", "ACME_QA"))),
        *(("QA_TOKEN", ("QA", "ACME_QA")), ("QA_SECRET", ("ACME_QA",)), ("API_KEY", ("ACME_QA",))),
        *(("KEY", ("ACME_QA",)), ("STRIPE_API_KEY", ("ACME_QA",)), ("X_ACME_QA_KEY", ("X_ACME_QA", "ACME_QA"))),
    ],
)
def test_the_words_of_a_vendor_are_its_name_and_that_of_its_key(key: str, words: tuple[str, ...]) -> None:
    assert words_of("acme-qa", {"acme-qa": key}) == words
    assert words_of("other", {"acme-qa": key}) == ("OTHER",)


@pytest.mark.parametrize(("vendor", "key"), [("acme", "API_KEY"), ("api", "API_KEY"), ("acme-api", "API_TOKEN")])
def test_a_word_that_any_key_has_marks_no_vendors(vendor: str, key: str) -> None:
    assert not key_may_go_to("STRIPE_API_KEY", vendor, keys={vendor: key}, allowed=())
    assert key_may_go_to(key, vendor, keys={vendor: key}, allowed=())


@pytest.mark.parametrize("word", ["API", "KEY", "TOKEN", "SECRET", "AUTH", "ACCESS", "APP"])
def test_a_vendor_that_is_called_as_credentials_are_has_no_word_of_its_own(word: str) -> None:
    assert words_of(word.lower(), {}) == ()
    assert not key_may_go_to(f"STRIPE_{word}_1", word.lower(), keys={}, allowed=())


OTHERS = [
    "GITHUB_TOKEN",
    "DOKSIAN_KEY",
    "XDOKSI",
    "AWS_SECRET_ACCESS_KEY",
    "QARUNNER_VAR_DOKSI_USER",
    "QARUNNER_DOKSI_URL",
]


@pytest.mark.parametrize("variable", OTHERS)
def test_any_other_variable_needs_its_bare_name(variable: str) -> None:
    assert not key_may_go_to(variable, "doksi", keys=KEYS, allowed=())
    assert not key_may_go_to(variable, "doksi", keys=KEYS, allowed={f"{variable}@doksi", f"{variable}@a.example"})
    assert key_may_go_to(variable, "doksi", keys=KEYS, allowed={variable})


@pytest.mark.parametrize("variable", ["CERTYN_API_KEY", "certyn_api_key"])
def test_a_vendors_default_key_goes_nowhere_else_whatever_is_allowed(variable: str) -> None:
    for vendor in ("doksi", "acme", "certyn-api"):
        assert not key_may_go_to(variable, vendor, keys=KEYS, allowed={variable})
    assert key_may_go_to(variable, "certyn", keys=KEYS, allowed=())


URL = "https://shop.example.com/?t=⟦secret:TOKEN⟧"


def test_a_url_needs_its_host_and_any_other_text_its_vendor() -> None:
    assert may_go(URL, "TOKEN@shop.example.com", is_url=True)
    assert not may_go(URL, "TOKEN@doksi", is_url=True)
    assert may_go("⟦secret:TOKEN⟧", "TOKEN@doksi")
    assert not may_go("⟦secret:TOKEN⟧", "TOKEN@shop.example.com", "TOKEN@certyn")


def test_a_text_is_no_url_unless_it_is_said() -> None:
    assert secret_may_go_to("TOKEN", "⟦secret:TOKEN⟧", vendor="doksi", allowed=["TOKEN@doksi"])
    assert needed_permission("TOKEN", "⟦secret:TOKEN⟧", vendor="doksi") == "TOKEN@doksi"


def test_a_bare_name_permits_no_secret() -> None:
    assert not may_go(URL, "TOKEN", is_url=True)
    assert not may_go("⟦secret:TOKEN⟧", "TOKEN")


def test_a_permission_is_that_of_one_secret() -> None:
    assert not may_go(URL, "TOKEN2@shop.example.com", "TOKE@shop.example.com", "token@shop.example.com", is_url=True)


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.example/?t=⟦secret:TOKEN⟧",
        "open https://evil.example/?t=⟦secret:TOKEN⟧",
        "http:evil.example/⟦secret:TOKEN⟧",
        "//evil.example/⟦secret:TOKEN⟧",
        "\\\\evil.example\\⟦secret:TOKEN⟧",
        "HTTPS:\\\\evil.example/⟦secret:TOKEN⟧",
        "evil.example/?t=⟦secret:TOKEN⟧",
        " evil.example:8443/⟦secret:TOKEN⟧",
        "user@evil.example/⟦secret:TOKEN⟧",
        "⟦secret:TOKEN⟧.evil.example",
        "a.⟦secret:TOKEN:urlencode⟧.evil.example:443?x",
        "⟦secret:TOKEN⟧@evil.example",
        "evil.example#⟦secret:TOKEN⟧",
        "10.0.0.1/?t=⟦secret:TOKEN⟧",
        "[2001:db8::1]:443/⟦secret:TOKEN⟧",
        "evil:8080/⟦secret:TOKEN⟧",
        "0x7f000001/⟦secret:TOKEN⟧",
        "evil.xn--p1ai/⟦secret:TOKEN⟧",
        "пример.рф/⟦secret:TOKEN⟧",
        "evil。example/⟦secret:TOKEN⟧",
        "evil\N{ONE DOT LEADER}example/⟦secret:TOKEN⟧",
        "evil\N{DIGIT ONE FULL STOP}example/⟦secret:TOKEN⟧",
        "ｅｖｉｌ．ｅｘａｍｐｌｅ／⟦secret:TOKEN⟧",  # noqa: RUF001  wide characters
        "evil.example：8443/⟦secret:TOKEN⟧",  # noqa: RUF001  a wide colon
        "／／evil.example/⟦secret:TOKEN⟧",  # noqa: RUF001  wide slashes
        "evil\N{SOFT HYPHEN}.exam\N{ZERO WIDTH JOINER}ple/⟦secret:TOKEN⟧",
        "evil\N{VARIATION SELECTOR-16}.example/⟦secret:TOKEN⟧",
        "127.1/⟦secret:TOKEN⟧",
        "2130706433/⟦secret:TOKEN⟧",
        "evil_x.example?⟦secret:TOKEN⟧",
        "ftp:evil.example/⟦secret:TOKEN⟧",
    ],
)
def test_an_address_needs_a_host_wherever_it_stands(text: str) -> None:
    assert not may_go(text, "TOKEN@doksi", "TOKEN@shop.example.com")


@pytest.mark.parametrize(
    "text",
    [
        "⟦secret:TOKEN⟧",
        "user:⟦secret:TOKEN⟧",
        "v1.⟦secret:TOKEN⟧",
        "v1.2 ⟦secret:TOKEN⟧",
        "v1.2/⟦secret:TOKEN⟧",
        "12:30/⟦secret:TOKEN⟧",
        "news: ⟦secret:TOKEN⟧",
        "a/⟦secret:TOKEN⟧",
        "user@example.com:⟦secret:TOKEN⟧",
    ],
)
def test_what_no_program_takes_for_an_address_goes_to_its_vendor(text: str) -> None:
    assert may_go(text, "TOKEN@doksi")


@pytest.mark.parametrize("url", ["⟦secret:TOKEN⟧", "shop.example.com/⟦secret:TOKEN⟧", "x⟦secret:TOKEN⟧", ""])
def test_where_a_url_belongs_something_else_goes_nowhere(url: str) -> None:
    assert not may_go(url, "TOKEN@doksi", "TOKEN@shop.example.com", is_url=True)
    assert needed_permission("TOKEN", url, vendor="doksi", is_url=True) is None


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://shop.example.com", "shop.example.com"),
        ("HTTPS://Shop.Example.com:443/x", "shop.example.com"),
        ("https://shop.example.com:8443?x", "shop.example.com:8443"),
        ("https://user:⟦secret:TOKEN:urlencode⟧@shop.example.com/", "shop.example.com"),
        ("https://doksi/x", "doksi:443"),
        ("http://localhost:3000/", "localhost:3000"),
        ("http://127.0.0.1", "127.0.0.1"),
        ("http://localhost:80/", "localhost"),
        ("http://localhost:443/", "localhost:443"),
        ("https://localhost/", "localhost"),
        ("http://shop.example.com/", None),
        ("https://shop.example.com/ https://evil.example/", None),
        ("https://shop.example.com/\nhttps://evil.example/", None),
        ("https://shop.example.com\\@evil.example/", None),
        ("https://shop.example.com#@evil.example/", None),
        ("https://shop.example.com:443?a@evil.example/", None),
        ("https://shop.example.com/?mail=a@b.example", "shop.example.com"),
        ("https://shop.example.com⟦secret:TOKEN⟧/", None),
        ("https://\u017fhop.example.com/", None),
        (" https://shop.example.com/", None),
    ],
)
def test_the_host_of_a_url_is_certain_or_there_is_none(url: str, host: str | None) -> None:
    assert certain_host(url) == host


def test_a_vendors_name_is_no_host() -> None:
    assert not may_go("https://doksi/?t=⟦secret:TOKEN⟧", "TOKEN@doksi", is_url=True)
    assert may_go("https://doksi/?t=⟦secret:TOKEN⟧", "TOKEN@doksi:443", is_url=True)


@pytest.mark.parametrize(
    ("place", "fine", "refused"),
    [
        ("*.preview.example.com", ["a.preview.example.com", "a.b.preview.example.com"], ["preview.example.com"]),
        (
            "shop-*.example.com",
            ["shop-1.example.com", "shop-.example.com", "shop-pr.example.com"],
            ["shop-1.x.example.com"],
        ),
        ("shop.example.com:8443", ["shop.example.com:8443"], ["shop.example.com", "shop.example.com:8444"]),
        ("*.example.com:8443", ["a.example.com:8443"], ["a.example.com"]),
        ("Shop.Example.com", ["shop.example.com"], ["shop.example.co"]),
    ],
)
def test_a_star_stands_for_labels_or_for_a_part_of_one(place: str, fine: list[str], refused: list[str]) -> None:
    urls = {host: f"https://{host}/?t=⟦secret:TOKEN⟧" for host in (*fine, *refused)}
    assert [host for host, url in urls.items() if may_go(url, f"TOKEN@{place}", is_url=True)] == fine


def test_the_word_that_is_needed_can_be_typed() -> None:
    assert needed_permission("TOKEN", URL, vendor="doksi", is_url=True) == "TOKEN@shop.example.com"
    assert needed_permission("TOKEN", "x", vendor="certyn") == "TOKEN@certyn"
