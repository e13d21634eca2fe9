from __future__ import annotations

import pytest

from qarunner.errors import UserError
from qarunner.manifest import codes
from qarunner.manifest.codes import Code
from qarunner.manifest.templates.secret_access import checked_word
from tests.matrices import manifest, only, refusal, rendered, values

HEAD = """
env: { TOKEN: { secret: true }, OTHER: { secret: true }, BASE: {} }
vars: { t: "{{ env.TOKEN }}" }
matrix:
  - id: a
    vendor: doksi
    platform: web
    test_ids: [t]
"""
ENV = {"TOKEN": "s3cr3t-value", "OTHER": "evil.example/", "BASE": "https://shop.example.com"}
BOUND = frozenset({"TOKEN@shop.example.com", "OTHER@shop.example.com"})


def render(url: str, allow: frozenset[str] = BOUND, **env: str) -> object:
    subject = manifest(HEAD + f"    target: {{ web_url: '{url}' }}\n")
    return rendered(subject, values({**ENV, **env}, *allow)).rows[0].data["target"]


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example.com/?t={{ env.TOKEN }}",
        "https://shop.example.com?t={{ env.TOKEN | urlencode }}",
        "https://shop.example.com/#{{ env.TOKEN }}",
        "https://shop.example.com/{{ vars.t }}/x@y",
        "HTTPS://Shop.Example.com:443/{{ env.TOKEN }}",
        "https://user:{{ env.TOKEN | urlencode }}@shop.example.com/",
        "https://user@shop.example.com/{{ env.TOKEN }}",
        "{{ env.BASE }}/?t={{ env.TOKEN }}",
    ],
)
def test_a_bound_secret_goes_to_its_host(url: str) -> None:
    assert "⟦secret:TOKEN" in str(render(url))


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/?t={{ env.TOKEN }}",
        "https://evil.example/?shop.example.com&t={{ env.TOKEN }}",
        "https://shop.example.com.evil.example/{{ env.TOKEN }}",
        "https://shop.example.comevil/{{ env.TOKEN }}",
        "https://evil.example#shop.example.com/{{ env.TOKEN }}",
        "https://shop.example.com@evil.example/{{ env.TOKEN }}",
        "https://shop.example.com:x@evil.example/{{ env.TOKEN }}",
        "https://evil.example\\@shop.example.com/{{ env.TOKEN }}",
        "https://shop.example.com\\.evil.example/{{ env.TOKEN }}",
        "https://shop.example.com%2eevil.example/{{ env.TOKEN }}",
        "https://shop.example.com:8443/{{ env.TOKEN }}",
        "https://shop.example.com:@evil.example/{{ env.TOKEN }}",
        "https://shop.example.com./{{ env.TOKEN }}",
        "https://\uff53hop.example.com/{{ env.TOKEN }}",
        "http://shop.example.com/{{ env.TOKEN }}",
        "https://{{ env.TOKEN }}",
        "https://{{ env.TOKEN }}.shop.example.com/",
        "https://shop.example.com{{ env.TOKEN }}/",
        "https://shop.example.com:{{ env.TOKEN }}/",
        "https://user:{{ env.TOKEN }}@shop.example.com/",
        "https://user:{{ env.TOKEN | b64encode }}@shop.example.com/",
        "https://{{ env.OTHER }}shop.example.com/?t={{ env.TOKEN }}",
        "{{ env.TOKEN }}",
        "{{ env.BASE }}.evil.example/?t={{ env.TOKEN }}",
        "{{ env.BASE }}@evil.example/?t={{ env.TOKEN }}",
    ],
)
def test_a_bound_secret_goes_nowhere_else(url: str) -> None:
    problems = refusal(lambda: render(url))
    assert {problem.code for problem in problems} == {Code.ELSEWHERE}
    assert {problem.place.line for problem in problems} == {11}
    assert not any(value in str(problem) for problem in problems for value in ("s3cr3t", "evil.example/"))


@pytest.mark.parametrize(
    "line",
    [
        "name: '{{ env.TOKEN }}'",
        "labels: ['{{ env.TOKEN }}']",
        "options: { instruction: 'open https://shop.example.com/{{ env.TOKEN }}' }",
        "artifacts: [{ type: authentication, strategy: specific, account_id: '{{ env.TOKEN }}' }]",
        "target: { target_id: 'shop/{{ env.TOKEN }}' }",
    ],
)
def test_a_bound_secret_stands_in_urls_of_targets_alone(line: str) -> None:
    subject = manifest(HEAD.replace("doksi", "acme") + f"    {line}\n")
    problems = refusal(lambda: rendered(subject, values(ENV, *BOUND)))
    assert Code.ELSEWHERE in {problem.code for problem in problems}


def test_nor_in_settings_of_vendors() -> None:
    subject = manifest("vendors: { acme: { project: '{{ env.TOKEN }}' } }\n" + HEAD.replace("doksi", "acme"))
    problem = only(refusal(lambda: rendered(subject, values(ENV, *BOUND))))
    assert (problem.code, problem.place.line) == (Code.ELSEWHERE, 3)


@pytest.mark.parametrize("url", ["https://$HOST/?t={{ env.TOKEN }}", "https://shop.example.com:99999/{{ env.TOKEN }}"])
def test_a_host_that_is_none_is_one_problem(url: str) -> None:
    assert only(refusal(lambda: render(url))).code == codes.WRONG_FORM


def test_a_bare_name_allows_no_secret() -> None:
    for words in (frozenset({"TOKEN"}), frozenset({"TOKEN", "TOKEN@other.example.com"})):
        problems = refusal(lambda words=words: render("https://evil.example/{{ env.TOKEN }}", words))  # type: ignore[misc]
        assert {problem.code for problem in problems} <= {Code.NOT_ALLOWED, Code.ELSEWHERE}


@pytest.mark.parametrize("line", ["name: '{{ env.TOKEN }}'", "labels: ['{{ env.TOKEN }}']"])
def test_a_secret_goes_into_other_fields_of_the_vendor_that_it_is_allowed_for(line: str) -> None:
    subject = manifest(HEAD + f"    {line}\n    target: {{ web_url: https://shop.example.com }}\n")
    assert rendered(subject, values(ENV, "TOKEN@doksi")).secrets.keys() == {"TOKEN"}
    for word in ("TOKEN@certyn", "TOKEN@shop.example.com"):
        problem = only(refusal(lambda word=word: rendered(subject, values(ENV, word))))  # type: ignore[misc]
        assert problem.code == Code.ELSEWHERE
        assert "--allow-secret TOKEN@doksi" in str(problem.hint)


def test_the_vendor_s_word_is_no_word_for_a_url() -> None:
    problem = only(refusal(lambda: render("https://evil.example/{{ env.TOKEN }}", frozenset({"TOKEN@doksi"}))))
    assert problem.code == Code.ELSEWHERE
    assert "--allow-secret TOKEN@evil.example" in str(problem.hint)


def test_settings_go_to_their_vendor() -> None:
    subject = manifest("vendors: { acme: { project: '{{ env.TOKEN }}' } }\n" + HEAD.replace("doksi", "acme"))
    assert rendered(subject, values(ENV, "TOKEN@acme")).vendors == {"acme": {"project": "⟦secret:TOKEN⟧"}}


def test_loopback_needs_no_https() -> None:
    assert render("http://localhost:3000/{{ env.TOKEN }}", frozenset({"TOKEN@localhost:3000"}))


@pytest.mark.parametrize(
    "word",
    [
        "TOKEN",
        "_t@a.b",
        "TOKEN@shop.example.com",
        "T@*.a.example",
        "T@a-*.b.c:1",
        "T@doksi",
        "T@acme_qa",
        "T@*.shop.co.uk",
        "T@*.co.example",
        "T@shop-*.vercel.app",
        "T@*.shop.vercel.app",
        "T@vercel.app",
    ],
)
def test_words(word: str) -> None:
    assert checked_word(word) == word


@pytest.mark.parametrize(
    "word",
    [
        *("TOKEN@", "@a.b", "TO-KEN", "T@*", "T@*.com", "T@a.*.com", "T@https://a.b", "T@a.b/c", "T@a b", "T@**.*.b.c"),
        *("T@*.co.uk", "T@shop-*.Com.au", "T@*.or.jp:8443", "T@*.0.0.1", "T@*.vercel.app", "T@*.GitHub.io:443"),
    ],
)
def test_words_that_are_none(word: str) -> None:
    with pytest.raises(UserError, match="--allow-secret"):
        checked_word(word)
