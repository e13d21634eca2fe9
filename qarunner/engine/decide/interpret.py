"""What a reply means: created or not, worth a repetition, refused, or in doubt. Pure decisions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from html import unescape
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from qarunner.decode import Json, UnexpectedData
from qarunner.engine.decide.outcomes import without_run
from qarunner.engine.state.events import Remains
from qarunner.plan.guard import bug
from qarunner.regex import regex
from qarunner.text import duration
from qarunner.vendors.api import (
    Cause,
    Fault,
    Finished,
    Item,
    Leftover,
    More,
    Outcome,
    Prepared,
    Refusal,
    RemoteRun,
    Reply,
    Request,
    ResourceKind,
    Running,
    Upload,
    resolve_refs,
)
from qarunner.vendors.replies import error_text

if TYPE_CHECKING:
    from qarunner.engine.state.run import JobState, ResourceState
    from qarunner.vendors.api import AnyRequest, Call, InventoryKind, Resource, Vendor


# ---------------------------------------------------------------------------------------------------------------------

# What an answer means, and what to do next: pure decisions, without a clock, a network or a disk.
#
# A create is repeated only if it certainly made no run, or if the vendor keeps repetitions apart by an idempotency key.


T = TypeVar("T")


Answer: TypeAlias = Reply | Fault


class Created(Struct, frozen=True, kw_only=True):
    """The create made these runs."""

    runs: tuple[RemoteRun, ...]


class CreatedNothing(Struct, frozen=True, kw_only=True):
    """The create was taken and made no run that could be asked for; `outcomes` are never a pass."""

    outcomes: Mapping[str, Outcome]


class Retry(Struct, frozen=True, kw_only=True):
    """Sending it again is safe. `wait_s` is the vendor's own word, `held` that it holds for all its requests.

    `maybe`: of a create, that it may have made a run. `unreadable`: the vendor answers, but the answer has no meaning;
    patience for that is short. `cause`: what it comes to if it stays so.
    """

    message: str
    wait_s: float | None = None
    held: bool = False
    unreadable: bool = False
    maybe: bool = False
    cause: Cause | None = None


class Rejected(Struct, frozen=True, kw_only=True):
    """Refused for good."""

    refusal: Refusal


class Ambiguous(Struct, frozen=True, kw_only=True):
    """It may or may not have made a run; only a person may send it again."""

    message: str


CONFLICT = 409


TOO_MANY = 429


NOT_FOUND = 404


_REDIRECTS = range(300, 400)


_UNAUTHORISED = frozenset({401, 403})


def after_create(
    vendor: Vendor, call: Call, answer: Answer, *, now: float
) -> Created | CreatedNothing | Retry | Rejected | Ambiguous:
    """What the answer to a create means. `now` is seconds since the epoch."""
    keyed = vendor.info.idempotency_header is not None
    match answer:
        case Fault(sent=True):
            return Retry(message=answer.message, maybe=True) if keyed else Ambiguous(message=answer.message)
        case Fault():
            return _not_sent(answer)
        case Reply(ok=True):
            return _accepted(vendor, call, answer, keyed=keyed)
        case Reply():
            return _create_refused(vendor, call, answer, keyed=keyed, now=now)


def _not_sent(fault: Fault) -> Retry | Rejected:
    """What it means that a request did not leave; or that it may have, where a second one does no harm."""
    if fault.final is None:
        return Retry(message=fault.message)
    return Rejected(refusal=Refusal(message=fault.message, cause=fault.final))


def _accepted(
    vendor: Vendor, call: Call, reply: Reply, *, keyed: bool
) -> Created | CreatedNothing | Retry | Rejected | Ambiguous:
    try:
        answer = vendor.accepted(call, reply)
        if isinstance(answer, Refusal):
            return Rejected(refusal=check_return_type(answer, Refusal))
        if isinstance(answer, Finished):
            outcomes = check_return_type(answer, Finished).outcomes
            return CreatedNothing(outcomes={name: without_run(outcome) for name, outcome in outcomes.items()})
        runs = tuple(check_return_type(run, RemoteRun) for run in answer)
    except UnexpectedData as error:
        # A vendor may say with 200 that it will do nothing: only its own words can tell.
        refusal = refusal_of(vendor, reply)
        if refusal.cause is Cause.ALLOWANCE:
            return Rejected(refusal=refusal)
        message = f"HTTP {reply.status}, but {error}"
        return Retry(message=message, unreadable=True, maybe=True) if keyed else Ambiguous(message=message)
    except ADAPTER_EXCEPTIONS as error:  # an adapter's bug ends its own job alone
        return Ambiguous(message=describe_adapter_error(vendor, error))
    return Created(runs=runs) if runs else Ambiguous(message=f"HTTP {reply.status} without a run")


def _create_refused(
    vendor: Vendor, call: Call, reply: Reply, *, keyed: bool, now: float
) -> Retry | Rejected | Ambiguous:
    refusal = refusal_of(vendor, reply)
    if named := _runs_named(vendor, call, reply):  # a refusal that names a run does not prove that there is no run
        message = f"HTTP {reply.status}, but the answer names run {', '.join(named)}"
        return Retry(message=message, unreadable=True, maybe=True) if keyed else Ambiguous(message=message)
    if refusal.cause is Cause.ALLOWANCE:
        return Rejected(refusal=refusal)
    wait_s = retry_after(reply, now)
    message = _with_wait(refusal.message, wait_s)
    if reply.status == TOO_MANY:
        return Retry(message=message, wait_s=wait_s, held=True)
    if not reply.is_unclear:
        return Rejected(refusal=refusal)
    if not keyed:
        return Ambiguous(message=message)
    return Retry(message=message, wait_s=wait_s, unreadable=not reply.is_transient, maybe=True)


def _runs_named(vendor: Vendor, call: Call, reply: Reply) -> list[str]:
    """The runs that an answer tells of in the words of an accepted create."""
    try:
        answer = vendor.accepted(call, reply)
        if isinstance(answer, (Refusal, Finished)):
            return []
        return [check_return_type(run, RemoteRun).id for run in answer]
    except ADAPTER_EXCEPTIONS:  # UnexpectedData, too: it reads as no accepted create
        return []


def after_read(  # noqa: PLR0913  all that a reading depends on, by name
    vendor: Vendor,
    call: Call,
    run: RemoteRun,
    answers: Sequence[Answer],
    *,
    polls: int,
    now: float,
    key_worked: bool = False,
    best_effort: bool = False,
) -> Running | More | Finished | Retry | Rejected:
    """What the answers to a poll and to each `More` mean; the last one is the newest.

    `key_worked`: the vendor has taken the same key before.
    """
    newest = answers[-1]
    if isinstance(newest, Fault):
        return _unread(newest)
    # What a `More` is answered with is the adapter's to judge, even where it is an error.
    judged = newest.ok or newest.status == NOT_FOUND or best_effort or (len(answers) > 1 and not newest.is_transient)
    if judged:
        return _read(vendor, call, run, answers, polls=polls)
    return _read_refused(vendor, newest, now=now, key_worked=key_worked)


def _unread(fault: Fault) -> Retry | Rejected:
    """A read without a reply. What needs a person may pass by itself, and the run is paid: it gets a few tries."""
    if fault.final is Cause.CONNECTION:
        return Retry(message=fault.message, unreadable=True)
    return _not_sent(fault)


def _read(
    vendor: Vendor, call: Call, run: RemoteRun, answers: Sequence[Answer], *, polls: int
) -> Running | More | Finished | Retry | Rejected:
    replies = [answer for answer in answers if isinstance(answer, Reply)]
    try:
        return check_return_type(vendor.read(call, run, replies, polls=polls), Running, More, Finished)
    except UnexpectedData as error:
        if replies[-1].ok:
            return Retry(message=str(error), unreadable=True)
        return Retry(message=refusal_of(vendor, replies[-1]).message, unreadable=True)
    except ADAPTER_EXCEPTIONS as error:  # an adapter's bug ends its own job alone
        return Rejected(refusal=Refusal(message=describe_adapter_error(vendor, error), cause=Cause.BUG))


LONGEST_READ_SILENCE_S = 300.0
"""A read is repeated after so long, whatever the vendor asks for: the run is paid, and its answer is awaited."""


def _read_refused(vendor: Vendor, reply: Reply, *, now: float, key_worked: bool) -> Retry | Rejected:
    refusal = refusal_of(vendor, reply)
    if reply.status in _UNAUTHORISED:
        if key_worked:  # a firewall answers so, too, in front of a vendor that knows the key
            return Retry(message=refusal.message, unreadable=True, cause=Cause.CREDENTIAL)
        return Rejected(refusal=Refusal(message=refusal.message, cause=Cause.CREDENTIAL))
    if not reply.is_transient:
        return Retry(message=refusal.message, unreadable=True)
    wait_s = retry_after(reply, now)
    shortened = wait_s if wait_s is None else min(wait_s, LONGEST_READ_SILENCE_S)
    message = _with_wait(refusal.message, wait_s)
    return Retry(message=message, wait_s=shortened, held=reply.status == TOO_MANY)


_MINUTE_S = 60.0


def _with_wait(message: str, wait_s: float | None) -> str:
    """The vendor's words, with the silence that it asks for where that is long."""
    return message if wait_s is None or wait_s < _MINUTE_S else f"{message} (asks to wait for {duration(wait_s)})"


def refusal_of(vendor: Vendor, reply: Reply) -> Refusal:
    """The vendor's error in words; redirects are ours to explain, since no vendor documents any."""
    if reply.status in _REDIRECTS:
        return Refusal(message=_redirect_words(vendor, reply))
    try:
        refusal = check_return_type(vendor.refused(reply), Refusal)
        # Its two numbers say all of an allowance; other words are the vendor's, and mostly leave the status out.
        says_status = refusal.cause is Cause.ALLOWANCE or str(reply.status) in refusal.message
        return refusal if says_status else replace(refusal, message=f"HTTP {reply.status}: {refusal.message}")
    except ADAPTER_EXCEPTIONS as error:  # an adapter's bug must not hide the answer
        return Refusal(message=f"HTTP {reply.status} ({describe_adapter_error(vendor, error)})", cause=Cause.BUG)


_NOT_MODIFIED = 304


def _redirect_words(vendor: Vendor, reply: Reply) -> str:
    where = reply.headers.get("location")
    if where is None or reply.status == _NOT_MODIFIED:
        return f"HTTP {reply.status}, which is no answer to this request"
    return f"HTTP {reply.status}: redirected to {where}; redirects are not followed, check {vendor.info.url_env[0]}"


def after_prepare(
    vendor: Vendor,
    resource: Resource,
    token: str,
    answers: Sequence[Answer],
    *,
    presigned: bool,
    now: float,
    best_effort: bool = False,
) -> Request | Upload | More | Prepared | Retry | Rejected:
    """What the answers to the requests for a resource lead to. Whatever fails is begun again from the start.

    `presigned`: the last one was to a store of files, whose refusals say nothing about the vendor's credential.
    `best_effort`: the adapter judges its answer, unless it says that nothing was done.
    """
    failed = bool(answers) and not (isinstance(answers[-1], Reply) and answers[-1].ok)
    if failed and not (best_effort and _may_be_done(answers[-1])):
        return _prepare_refused(vendor, answers[-1], presigned=presigned, now=now)
    try:
        replies = [a if isinstance(a, Reply) else Reply(status=0, text=a.message) for a in answers]
        step = check_return_type(vendor.prepare(resource, token, replies), Request, Upload, More, Prepared, Refusal)
        return Rejected(refusal=step) if isinstance(step, Refusal) else step
    except UnexpectedData as error:
        return Retry(message=str(error), unreadable=True)
    except ADAPTER_EXCEPTIONS as error:  # an adapter's bug ends its own jobs alone
        return Rejected(refusal=Refusal(message=describe_adapter_error(vendor, error), cause=Cause.BUG))


def _may_be_done(answer: Answer) -> bool:
    if isinstance(answer, Fault):
        return answer.sent
    return answer.status != TOO_MANY


def _prepare_refused(vendor: Vendor, answer: Answer, *, presigned: bool, now: float) -> Retry | Rejected:
    if isinstance(answer, Fault):
        return _not_sent(answer)
    refusal = _store_refusal(answer) if presigned else refusal_of(vendor, answer)
    if answer.is_transient and refusal.cause is not Cause.ALLOWANCE:
        wait_s = retry_after(answer, now)
        held = answer.status == TOO_MANY and not presigned
        return Retry(message=_with_wait(refusal.message, wait_s), wait_s=wait_s, held=held)
    if presigned and answer.status in _UNAUTHORISED:
        # The URL has expired, or its signature was misread: another one may do.
        return Retry(message=refusal.message, unreadable=True)
    return Rejected(refusal=refusal)


def after_listing(
    vendor: Vendor, kind: InventoryKind, settings: Mapping[str, Json], answers: Sequence[Answer], *, now: float
) -> Request | tuple[Item, ...] | Retry | Rejected:
    """What the answers so far to the requests of an inventory lead to: the next one, or all items.

    A list costs nothing and can be read once more. So what is no list is an error at once: nothing waits for it.
    """
    newest = answers[-1] if answers else None
    if isinstance(newest, Fault):
        return _not_sent(newest)
    if isinstance(newest, Reply) and not newest.ok:
        again = _read_refused(vendor, newest, now=now, key_worked=False)
        return Rejected(refusal=refusal_of(vendor, newest)) if isinstance(again, Retry) and again.unreadable else again
    try:
        replies = [answer for answer in answers if isinstance(answer, Reply)]
        step = check_return_type(vendor.inventory(kind, settings, replies), Request, Refusal, tuple)
        if isinstance(step, tuple):
            return tuple(check_return_type(item, Item) for item in step)
        return Rejected(refusal=step) if isinstance(step, Refusal) else step
    except UnexpectedData as error:
        return Rejected(refusal=Refusal(message=str(error)))
    except ADAPTER_EXCEPTIONS as error:  # an adapter's bug is reported with its name
        return Rejected(refusal=Refusal(message=describe_adapter_error(vendor, error), cause=Cause.BUG))


def listed_runs(
    vendor: Vendor, settings: Mapping[str, Json], runs: Sequence[RemoteRun], replies: Sequence[Reply]
) -> Request | Mapping[str, Reply] | None:
    """What a list of runs needs next, or tells at last; None: there is no list, or nothing can be read in it."""
    try:
        step = check_return_type(vendor.poll_many(settings, runs, replies), Request, Mapping, type(None))
        if isinstance(step, Mapping):
            return {name: check_return_type(reply, Reply) for name, reply in step.items()}
    except ADAPTER_EXCEPTIONS:  # each run can be read by itself
        return None
    return step


def after_refused_list(vendor: Vendor, answer: Answer, *, now: float) -> Retry | None:
    """What it means that a list was not given: worth another try later, or None: never again."""
    meaning = _unread(answer) if isinstance(answer, Fault) else _read_refused(vendor, answer, now=now, key_worked=True)
    return meaning if isinstance(meaning, Retry) and not meaning.unreadable else None


_STORE_WORDS = regex(r"<(?:Code|Message)>([^<]+)<")
"""Stores of files answer in XML."""


def _store_refusal(reply: Reply) -> Refusal:
    """What a store of files says; it knows no credential of the vendor's."""
    if reply.status in _REDIRECTS:
        where = urlsplit(reply.headers.get("location", "")).netloc or "another address"
        message = f"HTTP {reply.status}: the upload was redirected to {where}; it goes to the signed address alone"
        return Refusal(message=message)
    words = ": ".join(unescape(match).strip() for match in _STORE_WORDS.findall(reply.text[:_STORE_TEXT])[:2])
    vendor_text = error_text(reply, "message", "error")
    if words or str(reply.status) not in vendor_text:
        vendor_text = f"HTTP {reply.status}: {words or vendor_text}"
    return Refusal(message=vendor_text)


_STORE_TEXT = 10_000


def with_key_name(refusal: Refusal, variable: str) -> str:
    """A refusal's words, and whose credential it was that the vendor did not like."""
    return f"{refusal.message} (with the key of {variable})" if refusal.cause is Cause.CREDENTIAL else refusal.message


def release_request(vendor: Vendor, resource: Resource, prepared: Prepared) -> Request | None:
    """The request that removes a resource, if there is one. What cannot be removed stays, and is named."""
    return answer_or(lambda: vendor.release(resource, prepared), Request, otherwise=None)


def poll_request(vendor: Vendor, call: Call, run: RemoteRun) -> Request | Rejected:
    """The request that asks for a run's status."""
    try:
        return check_return_type(vendor.poll(call, run), Request)
    except ADAPTER_EXCEPTIONS as error:  # an adapter's bug ends its own job alone
        return Rejected(refusal=Refusal(message=describe_adapter_error(vendor, error), cause=Cause.BUG))


def cancel_request(vendor: Vendor, call: Call, run: RemoteRun) -> Request | None:
    """The request that stops a run, if the vendor has one."""
    return answer_or(lambda: vendor.cancel(call, run), Request, otherwise=None)  # else it is named as running on


def cancel_all_request(vendor: Vendor, call: Call, runs: Sequence[RemoteRun]) -> Request | None:
    """The request that stops all runs of a create at once, if the vendor has one."""
    return answer_or(lambda: vendor.cancel_all(call, runs), Request, otherwise=None)  # else each is stopped by itself


ADAPTER_EXCEPTIONS = (Exception, SystemExit)
"""What an adapter's bug looks like. One that ended the program would choose its exit code, which may be 0."""


def check_return_type(answer: T, *kinds: type) -> T:
    """An adapter's answer, through and through of the types that its protocol promises; else its bug, as it raises."""
    if not isinstance(answer, kinds):
        raise TypeError(f"expected {' or '.join(kind.__name__ for kind in kinds)}, got {type(answer).__name__}")
    msgspec.convert(msgspec.to_builtins(answer), type(answer))
    return answer


def answer_or(ask: Callable[[], T], *kinds: type, otherwise: T) -> T:
    """An adapter's answer, of one of these kinds or of that of `otherwise`; that instead where the adapter fails."""
    try:
        return check_return_type(ask(), *kinds, type(otherwise))
    except ADAPTER_EXCEPTIONS:
        return otherwise


def describe_adapter_error(vendor: Vendor, error: BaseException) -> str:
    return str(bug(vendor, f"failed: {type(error).__name__}: {error}"))


LONGEST_WAIT_S = 365 * 86_400.0
"""A vendor may ask for more digits than a clock has."""


def retry_after(reply: Reply, now: float) -> float | None:
    """`Retry-After` in seconds from now, from either of its forms (RFC 9110, 10.2.3); None if absent or nonsense.

    A date is compared with the answer's own `Date`, where it has one: the two clocks may differ by hours.
    """
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_WAIT_S)
    until, sent_at = _seconds_of(text), _seconds_of(reply.headers.get("date", ""))
    return None if until is None else min(max(0.0, until - (now if sent_at is None else sent_at)), LONGEST_WAIT_S)


def _seconds_of(text: str) -> float | None:
    """A date of HTTP in seconds since the epoch."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def idempotency_key(run: str, job: str, attempt: int) -> str:
    """Different for every run that is wanted, the same for every repetition of its create."""
    digest = hashlib.sha256(f"{run}\n{job}\n{attempt}".encode()).hexdigest()
    return f"qarunner-{digest[:40]}"


OTHER_BODY = (
    "the create may have happened, and cannot be repeated: what it refers to was removed, and could be made again "
    "under another name alone"
)


_READS = frozenset({"GET", "HEAD"})


_GONE = frozenset({404, 410})


def with_resource_values(state: JobState, values: Mapping[str, Mapping[str, str | int]]) -> Request:
    """A job's create with the values of its resources, by the adapter's keys."""
    request = state.job.request
    return replace(request, body=resolve_refs(request.body, values)) if state.job.uses else request


def may_make(vendor: Vendor, resource: Resource, token: str, request: AnyRequest) -> Leftover | None:
    """How people find what a request may make, if it has no answer: an environment, or a build that stays."""
    if not isinstance(request, Request) or request.method in _READS:
        return None
    if resource.kind is ResourceKind.ENVIRONMENT:
        return leftover_of(vendor, resource, token, None)
    return answer_or(lambda: vendor.may_stay(resource, request), Leftover, otherwise=None)


def token_of(run: str, state: ResourceState) -> str:
    """A short text for names at the vendor. An environment keeps its token until the vendor says that it is taken.

    Each upload has one of its own.
    """
    environment = state.resource.kind is ResourceKind.ENVIRONMENT
    attempt = state.tokens_used + 1 if environment else state.attempt
    return hashlib.sha256(f"{run}\n{state.resource.id}\n{attempt}".encode()).hexdigest()[:12]


def remains_after(vendor: Vendor, state: ResourceState, token: str, answer: Answer) -> Remains:
    """What the request that makes a resource has left, where its answer was no good one. In doubt, something."""
    if isinstance(answer, Fault):
        return Remains.MAYBE if answer.sent else Remains.NOTHING
    if answer.ok:
        return Remains.MAYBE
    is_environment = state.resource.kind is ResourceKind.ENVIRONMENT  # each upload has a name of its own
    may_be_taken = is_environment and state.may_exist
    if may_be_taken and answer_or(lambda: vendor.taken(state.resource, token, answer), bool, otherwise=False):
        return Remains.TAKEN
    # A plain refusal has made nothing. A name that was never asked for before, and is taken, is somebody else's.
    return Remains.MAYBE if answer.is_unclear and answer.status != CONFLICT else Remains.NOTHING


def unclear(answer: Answer) -> bool:
    """Whether a request that changes something may have done so all the same."""
    if isinstance(answer, Fault):
        return answer.sent
    return answer.is_transient and answer.status != TOO_MANY


def leftover_of(vendor: Vendor, resource: Resource, token: str, prepared: Prepared | None) -> Leftover:
    """How people find an environment; an adapter's bug must not hide that there may be one."""
    unnamed = Leftover(what=f"{resource.kind} {token}", todo=f"look for it at {vendor.info.title}, and delete it")
    return answer_or(lambda: vendor.leftover(resource, token, prepared), Leftover, otherwise=unnamed)


def kept_build(vendor: Vendor, resource: Resource, prepared: Prepared) -> Leftover | None:
    """How people find a build that stays; an adapter's bug here is no reason to lose what was uploaded."""
    return answer_or(lambda: vendor.kept(resource, prepared), Leftover, otherwise=None)


def not_removed(vendor: Vendor, answer: Answer) -> str | None:
    """Why a resource was not removed; None if it is gone, by whichever request."""
    if isinstance(answer, Fault):
        return answer.message
    return None if answer.ok or answer.status in _GONE else refusal_of(vendor, answer).message


def ask_again(answer: Answer) -> bool:
    """Whether a removal or a cancel that failed may succeed in a moment; a plain refusal will not."""
    if isinstance(answer, Fault):
        return answer.final is None
    return answer.is_transient or answer.status == CONFLICT
