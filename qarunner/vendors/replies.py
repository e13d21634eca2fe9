"""What adapters read in the same way: ids that go into paths, counters, and error answers in words."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from qarunner.decode import JsonReader, UnexpectedData, is_unicode, kind
from qarunner.regex import regex
from qarunner.secret import placeholder, secret_names, without_encoding
from qarunner.vendors.api import GOOD, Cause, FileRef, Item, Metadata, Refusal, Reply, Upload, UploadAddress, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from qarunner.vendors.api import Build, RemoteRun


_SHOWN = 200


_SHORT = 7


_CREDENTIAL_STATUSES = frozenset({401, 403})


_DOTS = frozenset({".", ".."})


def path_id(cursor: JsonReader) -> str:
    """An id that can be asked for again: `.` and `..` in a path name another resource, and broken text nothing."""
    identifier = body_id(cursor)
    if not _DOTS.isdisjoint(identifier.replace("\\", "/").split("/")):
        raise cursor.fail("an id")
    return identifier


def id_or_none(cursor: JsonReader) -> str | None:
    try:
        return path_id(cursor)
    except UnexpectedData:
        return None


def body_id(cursor: JsonReader) -> str:
    """An id that can be sent back; broken text cannot."""
    identifier = cursor.identifier()
    if not is_unicode(identifier):
        raise cursor.fail("an id of valid characters")
    return identifier


def check_about(reader: JsonReader, expected: str, what: str = "run") -> None:
    """UnexpectedData if an answer names another run, or another test, than the one that was asked about.

    Ids are the same in either case, as UUIDs are, and a secret's placeholder in them has no form.
    """
    if reader.value is not None and not same_id(reader.identifier(), expected):
        raise reader.fail(f"{what} {expected}")


def same_id(one: str, other: str) -> bool:
    """UUIDs are the same in either case; a secret's placeholder whatever its form."""
    return one == other or canonical(one) == canonical(other)


def canonical(identifier: str) -> str:
    """One text for all spellings of an id."""
    text = without_encoding(identifier)
    return text.lower() if _UUID.fullmatch(text) else text


_UUID = regex(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")


def upload_address(cursor: JsonReader) -> UploadAddress:
    """Where a reply says that a build goes. What it says instead is not shown: it may hold a signature."""
    url = cursor.text_or("") or ""
    # One that is not absolute would go to the vendor itself.
    if not (url.startswith(("https://", "http://")) and is_unicode(url)):
        raise UnexpectedData(f"{cursor.name}: expected the absolute URL of an upload")
    return UploadAddress(url=url)


def put(build: Build, address: JsonReader, content_type: str, *, zipped: bool = False) -> Upload:
    """A build's bytes to a presigned address, which is no place for the credential."""
    file = FileRef(path=build.path, zipped=zipped)
    return Upload(address=upload_address(address), headers=(("Content-Type", content_type),), file=file)


def segment(text: str) -> str:
    """One quoted segment of a path; a secret's placeholder in it survives, and is quoted when it is revealed."""
    quoted = quote(text, safe="")
    for name in secret_names(text):
        for form in (None, "urlencode", "b64encode"):
            kept = placeholder(name, form or "urlencode")
            quoted = quoted.replace(quote(placeholder(name, form), safe=""), kept)
    return quoted


_DIGITS = regex(r"[0-9]{1,9}", re.ASCII)


def count(cursor: JsonReader) -> int | None:
    """A number of tests, or None where there is none. `"2"` and `2.0` are 2: a failure must not be lost over them."""
    value = cursor.value
    if value is None:
        return None
    if (isinstance(value, str) and _DIGITS.fullmatch(value)) or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    if (number := JsonReader(value, cursor.name).integer()) < 0:
        raise cursor.fail("a number of tests")
    return number


def promised_count(cursor: JsonReader) -> int:
    """The same where the vendor's page promises it: UnexpectedData where it is missing."""
    if (number := count(cursor)) is None:
        raise cursor.fail("a number")
    return number


def legible_count(cursor: JsonReader) -> int | None:
    """The same of an answer that must not be lost: None for what is no number of tests, too."""
    try:
        return count(cursor)
    except UnexpectedData:
        return None


def not_a_list(*fields: JsonReader) -> str | None:
    """The field that is set and is no list: a pass beside it does not count, as it may hold a failure."""
    odd = next((field for field in fields if field.value is not None and not isinstance(field.value, list)), None)
    return None if odd is None else str(odd.fail("a list"))


def word(cursor: JsonReader) -> str:
    """A word of the vendor's to compare with others, in lower case: a failure must not be lost over a capital.

    Empty where there is no text.
    """
    return (cursor.text_or() or "").strip().lower()


def verdict_of(text: str, verdicts: Mapping[str, Verdict]) -> Verdict | None:
    """The verdict of a vendor's word, None without one: a bad verdict in any case, a good one only as documented."""
    verdict = verdicts.get(text.strip().lower())
    return None if verdict in GOOD and text not in verdicts else verdict


def short_commit(metadata: Metadata) -> str | None:
    """The commit as people write it; None where it is not known."""
    return metadata.commit[:_SHORT] if metadata.commit else None


def refusal(reply: Reply, *keys: str) -> Refusal:
    """An error answer in the vendor's own words, which stand under `keys` of its body."""
    cause = Cause.CREDENTIAL if reply.status in _CREDENTIAL_STATUSES else Cause.REFUSED
    return Refusal(message=error_text(reply, *keys), cause=cause)


def error_text(reply: Reply, *keys: str) -> str:
    """What stands under `keys` of an error's body; its beginning where it lacks them; never empty."""
    try:
        if texts := ": ".join(_texts(reply.json(), keys)):
            return texts
    except UnexpectedData:
        pass  # proxies and gateways answer in HTML, or not at all
    text = " ".join(reply.text.split())[:_SHOWN]
    if not reply.status and text:  # no answer, but the words of whoever waited for it
        return text
    return f"HTTP {reply.status}: {text}" if text else f"HTTP {reply.status} with an empty body"


def error_beside(*places: JsonReader) -> str | None:
    """An error that stands beside a result, of the run or of a part of it: a pass with one is in doubt."""
    return next((words for place in places if (words := words_beside(place, *_ERRORS))), None)


_ERRORS = ("error_message", "errorMessage", "error", "errors")


def words_beside(body: JsonReader, *keys: str) -> str | None:
    """What stands beside a result under one of the keys, such as an error, in whatever form; None if nothing does."""
    for value in (body.get(key).value for key in keys):
        if any(value.values()) if isinstance(value, dict) else value:
            return _words(value).strip() or kind(value)
    return None


def _texts(body: JsonReader, keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        if text := _words(body.get(key).value).strip():
            yield text


def _words(value: object) -> str:
    """The words of an explanation, also of one in parts: `tags: must not be empty; name: is too long`."""
    match value:
        case str():
            return value
        case list():
            return "; ".join(filter(None, map(_words, value)))
        case dict():
            if words := _words(value.get("message") or value.get("msg")):
                place = value.get("loc")  # many frameworks name the field beside the message
                where = ".".join(map(str, place)) if isinstance(place, list) else ""
                return f"{where}: {words}" if where else words
            parts = ((key, _words(part)) for key, part in value.items())
            return "; ".join(f"{key}: {words}" for key, words in parts if words)
        case _:
            return ""


def status_body(reply: Reply, refused: Refusal | Callable[[Reply], Refusal]) -> JsonReader:
    """The body of an answer to a poll; UnexpectedData, in the vendor's words, where it is an error.

    `refused` is those words, or what finds them: most answers need none.
    """
    if not reply.ok:
        refusal = refused if isinstance(refused, Refusal) else refused(reply)
        raise UnexpectedData(f"no status: {refusal.message}")
    return reply.json()


@lru_cache(maxsize=64)
def _page(text: str) -> JsonReader:
    return JsonReader.parse(text, "reply $")


def page(reply: Reply) -> JsonReader:
    """A page of a list. The first and the newest ones are read more than once, and parsed once."""
    return _page(reply.text)


def check_goes_on(pages: Sequence[Reply], key: str) -> None:
    """UnexpectedData if the newest page shows only what the first one has, or the one before it.

    It costs the same for each page, however many there are. `elements` compares all pages at the end.
    """
    newest = _ids(pages[-1], key) if len(pages) > 1 else set()
    if newest and any(newest <= _ids(earlier, key) for earlier in (pages[0], pages[-2])):
        raise _endless(pages[-1], key)


def _ids(reply: Reply, key: str) -> set[str]:
    return {_id(item) for item in page(reply).get(key).items()}


def _id(item: JsonReader) -> str:
    return str(item.get("id").value or item.value)


def _endless(reply: Reply, key: str) -> UnexpectedData:
    where = page(reply).get(key).name
    return UnexpectedData(f"{where}: a page shows only what earlier pages have: the list does not end")


def elements(pages: Sequence[Reply], key: str, name: str = "name") -> list[JsonReader]:
    """What all pages of a list hold under `key`, each id once. It is asked for at a list's end, not for each page.

    UnexpectedData for a page with known elements alone, and for an id that has two texts under `name`.
    """
    by_id: dict[str, JsonReader] = {}
    for reply in pages:
        before, items = len(by_id), list(page(reply).get(key).items())
        for item in items:
            number = _id(item)
            names = {text for one in (by_id.get(number, item), item) if (text := one.get(name).text_or())}
            if len(names) > 1:
                raise item.get(name).fail(f"one name of {number}, which has {' and '.join(sorted(names))}")
            by_id[number] = item
        if items and len(by_id) == before:
            raise _endless(reply, key)
    return list(by_id.values())


def check_whole(pages: Sequence[Reply], seen: int, *path: str) -> None:
    """UnexpectedData if the last page counts more elements, under `path`, than all pages have."""
    total = page(pages[-1])
    for key in path:
        total = total.get(key)
    if seen < (count(total) or 0):
        raise total.fail(f"the {seen} elements that its pages have")


def item(element: JsonReader, name: str, key: str = "id", **more: Any) -> Item:  # noqa: ANN401  fields of an Item
    """An element as people name it: by the text under `name`, else by its id."""
    identifier = body_id(element.get(key))
    return Item(id=identifier, name=element.get(name).text_or() or identifier, **more)


def most_pages(runs: Sequence[RemoteRun], size: int) -> int:
    """How many pages of a list of runs are read: some may be other runs'. What they do not show is read by itself."""
    return 4 + -(-len(runs) // size)


class Listed:
    """What the pages of a list say of runs. A run that stands there twice with two states is in doubt."""

    def __init__(self) -> None:
        self._values: dict[str, object] = {}

    def add(self, run: str, element: JsonReader, *, is_certain: bool = True) -> None:
        value = element.value if is_certain else None
        self._values[run] = value if self._values.get(run, value) == value else None

    @property
    def count(self) -> int:
        return len(self._values)

    def replies(self) -> Mapping[str, Reply]:
        """For each run that is beyond doubt: the reply that its own read would have got."""
        certain = {run: value for run, value in self._values.items() if value is not None}
        return {run: Reply(status=200, text=json.dumps(value)) for run, value in certain.items()}
