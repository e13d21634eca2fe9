"""What each status of an answer means: for a create with and without an idempotency key, and for a read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from qarunner.engine.decide.interpret import (
    Ambiguous,
    Rejected,
    Retry,
    after_create,
    after_prepare,
    after_read,
    retry_after,
)
from qarunner.vendors.api import Call, Cause, Fault, RemoteRun, Reply, Resource, ResourceKind
from tests.fictional import KEYED, PLAIN, entry

REFUSED = (400, 404, 405, 410, 413, 422, 451, 501, 505, 511)
UNCLEAR = (100, 101, 103, 199, 301, 302, 303, 304, 307, 308, 408, 409, 425, 500, 502, 503, 504, 507, 508, 520, 524, 599)
"""A gateway may answer so after it has passed the create on."""
TRANSIENT = (408, 425, 429, 500, 502, 503, 504, 520, 524, 599)
NO_SENSE = (101, 103, 301, 304, 400, 404, 409, 418, 501, 505, 507, 511)


def created(status: int, *, keyed: bool, **headers: str) -> object:
    vendor = KEYED if keyed else PLAIN
    call = Call(entries=(entry("a", vendor.info.name),))
    return after_create(vendor, call, Reply(status=status, text="words", headers=headers), now=0)


def read(answer: Reply | Fault, *, key_worked: bool = True) -> object:
    call = Call(entries=(entry("a", "plain"),))
    return after_read(PLAIN, call, RemoteRun(id="1"), [answer], polls=0, now=0, key_worked=key_worked)


@pytest.mark.parametrize("status", REFUSED)
def test_a_create_that_is_refused_is_not_repeated(status: int) -> None:
    for keyed in (False, True):
        meaning = created(status, keyed=keyed)
        assert isinstance(meaning, Rejected)
        assert meaning.refusal.cause is Cause.REFUSED


@pytest.mark.parametrize("status", UNCLEAR)
def test_a_create_that_may_have_made_a_run_is_repeated_with_its_key_alone(status: int) -> None:
    assert isinstance(created(status, keyed=False), Ambiguous)
    meaning = created(status, keyed=True)
    assert isinstance(meaning, Retry)
    assert meaning.maybe
    assert meaning.unreadable is (status not in TRANSIENT), "patience counts answers where none of them is a trouble"


def test_a_create_that_came_too_often_has_made_nothing() -> None:
    for keyed in (False, True):
        meaning = created(429, keyed=keyed, **{"retry-after": "7"})
        assert meaning == Retry(message="HTTP 429: words", wait_s=7.0, held=True)


@pytest.mark.parametrize("status", [400, 401, 402, 409, 422, 429, 501])
def test_a_refusal_that_names_a_run_does_not_prove_that_there_is_none(status: int) -> None:
    """One that was taken for a refusal paid for a run that nothing named; after 429 it was sent again."""
    reply = Reply(status=status, text='{"id": "r-7", "error": "slow down"}')
    words = f"HTTP {status}, but the answer names run r-7"
    assert after_create(PLAIN, Call(entries=(entry("a", "plain"),)), reply, now=0) == Ambiguous(message=words)
    again = after_create(KEYED, Call(entries=(entry("a", "keyed"),)), reply, now=0)
    assert again == Retry(message=words, unreadable=True, maybe=True)


YEAR_S = 365 * 24 * 3600.0


@pytest.mark.parametrize(
    ("word", "seconds"),
    [
        ("9" * 400, YEAR_S),
        ("Fri, 31 Dec 9999 23:59:59 GMT", YEAR_S),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("0", 0.0),
        *((word, None) for word in ("-5", "nan", "inf", "1e3", "1, 2", "²", "", "Fri, 99 Dec 9999 23:59:59 GMT")),
    ],
)
def test_a_silence_that_makes_no_sense_is_bounded_or_none(word: str, seconds: float | None) -> None:
    reply = Reply(status=429, text="words", headers={"retry-after": word})
    call = Call(entries=(entry("a", "plain"),))
    meaning = after_create(PLAIN, call, reply, now=1_600_000_000)
    assert isinstance(meaning, Retry)
    assert meaning.wait_s == seconds


def test_a_long_silence_is_said() -> None:
    for seconds, words in (("86400", "24h"), ("900", "15m"), ("5400", "1h30m")):
        meaning = created(429, keyed=False, **{"retry-after": seconds})
        assert isinstance(meaning, Retry)
        assert meaning.message == f"HTTP 429: words (asks to wait for {words})"
        assert meaning.wait_s == float(seconds)
        again = read(Reply(status=429, text="words", headers={"retry-after": seconds}))
        assert isinstance(again, Retry)
        assert again.message == meaning.message
        assert again.wait_s == 300, "the run is paid: it is asked for again before long"


@pytest.mark.parametrize("status", TRANSIENT)
def test_a_read_of_a_vendor_in_trouble_is_repeated(status: int) -> None:
    meaning = read(Reply(status=status, text="words"))
    assert meaning == Retry(message=f"HTTP {status}: words", held=status == 429)


@pytest.mark.parametrize("status", [status for status in NO_SENSE if status != 404])
def test_a_read_without_a_sensible_answer_gets_a_few_tries(status: int) -> None:
    meaning = read(Reply(status=status, text="words"))
    assert isinstance(meaning, Retry)
    assert meaning.unreadable


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_has_worked_is_not_given_up_for_one_answer(status: int) -> None:
    meaning = read(Reply(status=status, text="<html>"))
    assert isinstance(meaning, Retry)
    assert (meaning.unreadable, meaning.cause) == (True, Cause.CREDENTIAL)
    never = read(Reply(status=status, text="<html>"), key_worked=False)
    assert isinstance(never, Rejected)
    assert never.refusal.cause is Cause.CREDENTIAL


def test_a_certificate_is_an_end_for_a_create_and_a_few_tries_for_a_read() -> None:
    fault = Fault(sent=False, final=Cause.CONNECTION, message="TLS failed")
    never = after_create(PLAIN, Call(entries=(entry("a", "plain"),)), fault, now=0)
    assert isinstance(never, Rejected)
    assert never.refusal.cause is Cause.CONNECTION
    again = read(fault)
    assert isinstance(again, Retry)
    assert again.unreadable


def test_what_may_have_been_sent_is_never_the_end_for_a_keyed_create() -> None:
    fault = Fault(sent=True, final=Cause.CONNECTION, message="lost")
    call = Call(entries=(entry("a", "keyed"),))
    assert after_create(KEYED, call, fault, now=0) == Retry(message="lost", maybe=True)
    assert after_create(PLAIN, call, fault, now=0) == Ambiguous(message="lost")


@pytest.mark.parametrize("headers", [{}, {"location": "https://elsewhere.test/x"}])
def test_only_an_address_is_a_redirection(headers: dict[str, str]) -> None:
    meaning = created(304 if headers else 302, keyed=False, **headers)
    assert isinstance(meaning, Ambiguous)
    assert "no answer to this request" in meaning.message
    assert "PLAIN_URL" not in meaning.message
    moved = created(302, keyed=False, location="https://elsewhere.test/x")
    assert isinstance(moved, Ambiguous)
    assert moved.message == (
        "HTTP 302: redirected to https://elsewhere.test/x; redirects are not followed, check PLAIN_URL"
    )


EXPIRED = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AccessDenied</Code><Message>Request has expired &amp; gone</Message><RequestId>1</RequestId></Error>"""


@pytest.mark.parametrize(
    ("reply", "again", "words"),
    [
        (Reply(status=403, text=EXPIRED), True, "HTTP 403: AccessDenied: Request has expired & gone"),
        (Reply(status=401, text=""), True, "HTTP 401 with an empty body"),
        (Reply(status=503, text="<Error><Code>SlowDown</Code></Error>"), True, "HTTP 503: SlowDown"),
        (Reply(status=413, text="too large"), False, "HTTP 413: too large"),
        (Reply(status=400, text='{"error": "no such bucket"}'), False, "HTTP 400: no such bucket"),
        (Reply(status=501, text=""), False, "HTTP 501 with an empty body"),
    ],
)
def test_a_store_of_builds_is_told_in_its_own_words(
    reply: Reply,
    again: bool,  # noqa: FBT001  a table's column
    words: str,
) -> None:
    resource = Resource(id="b", vendor="plain", kind=ResourceKind.BUILD)
    meaning = after_prepare(PLAIN, resource, "t", [reply], presigned=True, now=0)
    assert isinstance(meaning, Retry if again else Rejected)
    assert (meaning.message if isinstance(meaning, Retry) else meaning.refusal.message) == words
    if isinstance(meaning, Rejected):
        assert meaning.refusal.cause is Cause.REFUSED, "a store knows no credential of the vendor's"


def test_a_store_in_need_of_rest_holds_up_no_vendor() -> None:
    resource = Resource(id="b", vendor="plain", kind=ResourceKind.BUILD)
    slow = Reply(status=429, text="", headers={"retry-after": "30"})
    for presigned in (False, True):
        meaning = after_prepare(PLAIN, resource, "t", [slow], presigned=presigned, now=0)
        assert isinstance(meaning, Retry)
        assert (meaning.held, meaning.wait_s) == (not presigned, 30.0)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, 3600.0),
        ({"date": "Wed, 21 Oct 2026 08:59:30 GMT"}, 30.0),  # the machine's clock is an hour behind
        ({"date": "Wed, 21 Oct 2026 11:00:00 GMT"}, 0.0),
        ({"date": "no date"}, 3600.0),
    ],
)
def test_a_date_to_wait_for_is_compared_with_the_answers_own(headers: dict[str, str], wait_s: float) -> None:
    reply = Reply(status=429, text="", headers={"retry-after": "Wed, 21 Oct 2026 09:00:00 GMT", **headers})
    eight = datetime(2026, 10, 21, 8, tzinfo=UTC).timestamp()
    assert retry_after(reply, eight) == wait_s
