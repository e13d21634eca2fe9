"""Hosts and ports: what no browser could open is refused, as it was written and once it is rendered."""

from __future__ import annotations

import json

import pytest

from qarunner.manifest.expand import check_rows, expand
from qarunner.manifest.schema.urls import misfit, out_of_reach
from qarunner.manifest.templates.env import FORMATS
from tests.matrices import manifest, only, refusal, rendered, values


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://$HOST/", "$HOST is not replaced by anything"),
        ("https://${HOST}/x", "${HOST} is not replaced by anything"),
        ("https://${HOST:-a}/x", "${HOST:-a} is not replaced by anything"),
        ("https://${{ env.HOST }}/", "${{ env.HOST }} is not replaced by anything"),
        ("https://a.{{ env.X }}.$DOMAIN/", "$DOMAIN is not replaced by anything"),
        ("https://https://x.example/", "'' is no port"),
        ("https://<your-host>/", "'<your-host>' is no host"),
        ("https://%HOST%/", "'%HOST%' is no host"),
        ("https://x..example/", "'x..example' is no host"),
        ("https://999.1.1.1/", "'999.1.1.1' is no host"),
        ("https://shop.8080/", "'shop.8080' is no host"),
        ("https://0x7f000001/", "'0x7f000001' is no host"),
        ("https://shop.0x1/", "'shop.0x1' is no host"),
        ("https://shop%00.example/", "'shop%00.example' is no host"),
        ("https://shop.example%2F/", "'shop.example%2F' is no host"),
        ("https://x.example:abc/", "'abc' is no port"),
        ("https://x.example:0/", "'0' is no port"),
        ("https://x.example:99999/", "'99999' is no port"),
        ("HTTPS://x.example:/", "'' is no port"),
        ("https://[::1", "'[::1' is no host"),
        ("https://[::g]:80/", "'[::g]' is no host"),
        ("https://[::1]x/", "'[::1]x' is no host"),
        ("https://-x.example?a", "'-x.example' is no host"),
        (f"https://{'a.' * 127}example/", f"{'a.' * 127 + 'example'!r} is no host"),
    ],
)
def test_what_is_no_host_is_refused(url: str, said: str) -> None:
    reason = misfit(url)
    assert reason is not None
    assert reason[0] == said
    entry = (
        f"matrix: [{{ id: a, vendor: doksi, platform: web, target: {{ web_url: {json.dumps(url)} }}, test_ids: [t] }}]"
    )
    subject = manifest("env: { X: {} }\n" + entry if "{{" in url else entry)
    assert said in " ".join(problem.message for problem in check_rows(subject, expand(subject)))


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://x.example",
            "http://my_service:8080/a?b#c",
            "https://user:word@x.example:65535/",
            "https://[::1]:80/",
        ),
        *("https://127.0.0.1/", "https://münchen.example/", "https://x.example./", "https://x.example/$PATH?q=${x}"),
        *("https://{{ env.HOST }}/", "https://{{ env.HOST }}:{{ env.PORT }}/", "https://***/x", "file:///x"),
    ],
)
def test_what_may_be_a_host_is_taken(url: str) -> None:
    assert misfit(url) is None


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        *(("100.64.0.1", False), ("[::ffff:10.0.0.1]", False), ("%6cocalhost", False), ("169.254.169.254", False)),
        *(("[fd00::1]:8080", False), ("8.8.8.8", True), ("[2606:4700::1]", True), ("m%C3%BCnchen.de", True)),
    ],
)
def test_only_addresses_of_the_internet_are_reached_from_elsewhere(host: str, reached: bool) -> None:  # noqa: FBT001  a column of a table
    assert misfit(f"https://{host}/") is None
    assert (out_of_reach(f"https://{host}/") is None) == reached


def test_a_host_that_a_variable_brings_in_is_looked_at_too() -> None:
    subject = manifest(
        "env: { HOST: {} }\nmatrix:\n"
        "  - { id: a, vendor: doksi, platform: web, target: { web_url: 'https://{{ env.HOST }}/' }, test_ids: [t] }\n"
    )
    problem = only(refusal(lambda: rendered(subject, values({"HOST": "https://x.example"}))))
    assert (problem.code, "'' is no port" in problem.message) == ("E207", True)
    assert not FORMATS["uri"]("https://$HOST/")
    assert not FORMATS["uri"]("https://https://x.example/")
