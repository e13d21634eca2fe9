"""Which rows run here: `--select` expressions, shards, and `paths` of changed files."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from qarunner.diagnostics import Diagnostic, choose, in_order, problem
from qarunner.errors import UserError
from qarunner.known import holds_template
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import RowLocator, one_of_each
from qarunner.regex import regex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from qarunner.manifest.model import Manifest, Row


# ---------------------------------------------------------------------------------------------------------------------

# Which rows to run: `--select` expressions, several as alternatives, commas inside one as conditions that all hold.


KINDS = ("id", "label", "vendor", "platform", "variant", "owner")


KNOWN_LATER: Mapping[str, str] = {"label": "labels", "platform": "platform", "owner": "owner"}
"""The kinds whose words can come from templates, with the keys that have them."""


_TERM = regex(r"(?:([A-Za-z_]+)\s*:)?(.*)", re.DOTALL)


_HINT = (
    "terms are an id, label:x, vendor:x, platform:x, variant:x or owner:x; * and ? match anything, a leading ! negates"
)


class Term(Struct, frozen=True):
    """One condition. `word` matches one of the row's ids, labels …, or no one of them where `negated`."""

    text: str
    kind: str
    word: str
    negated: bool


def parse(expression: str) -> tuple[Term, ...]:
    """The conditions of one expression. UserError if one cannot be understood."""
    return tuple(_term(text.strip(), expression) for text in _split(expression))


class Vocabulary:
    """The words that rows have, of each kind: what a term matches is looked for once, however many rows have it."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._known: dict[str, dict[str, None]] = {}
        self._matches: dict[tuple[str, str], frozenset[str]] = {}
        self._having: dict[str, defaultdict[str, list[int]]] = {}
        self._sorted: dict[str, Sequence[str]] = {}
        self._ids: dict[str, Sequence[str]] = {}

    def words(self, kind: str) -> Mapping[str, None]:
        """The words of one kind, each once."""
        if kind not in self._known:
            self._known[kind] = dict.fromkeys(word for row in self._rows for word in _words(kind, row))
        return self._known[kind]

    def matches(self, term: Term) -> frozenset[str]:
        """The words that a term matches, negated or not."""
        key = (term.kind, term.word)
        if key not in self._matches:
            words = self.words(term.kind)
            if term.kind == "id" and "[" in term.word:
                means = id_matcher(term.word)
                self._matches[key] = frozenset(word for word in words if means(word))
            elif _WILD.search(term.word):
                pattern = wildcard(term.word)
                self._matches[key] = frozenset(word for word in words if pattern.fullmatch(word))
            else:
                self._matches[key] = frozenset({term.word} & words.keys())
        return self._matches[key]

    def ids(self, word: str) -> Sequence[str]:
        """The ids of the rows that an id or a glob means, in their order."""
        if word not in self._ids:
            matches = self.matches(Term(word, "id", word, negated=False))
            self._ids[word] = [self._rows[number].id for number in sorted(self._candidates([("id", matches, False)]))]
        return self._ids[word]

    def is_open(self, kind: str) -> bool:
        """True if some row's words of this kind are not known yet."""
        texts = (row.data.get(KNOWN_LATER[kind]) for row in self._rows) if kind in KNOWN_LATER else ()
        return any(
            isinstance(text, str) and holds_template(text)
            for item in texts
            for text in (item if isinstance(item, list) else [item])
        )

    def select(self, expressions: Sequence[str]) -> tuple[Row, ...]:
        """The rows that one of the expressions matches, in their order; all rows without any expression.

        An id without its variant or axes selects all rows of the entry.
        """
        alternatives = [
            [(term.kind, self.matches(term), term.negated) for term in parse(expression)] for expression in expressions
        ]
        if not alternatives:
            return tuple(self._rows)
        chosen = {
            number for terms in alternatives for number in self._candidates(terms) if _holds(self._rows[number], terms)
        }
        return tuple(self._rows[number] for number in sorted(chosen))

    def _candidates(self, terms: Iterable[tuple[str, frozenset[str], bool]]) -> Iterable[int]:
        """The rows that the first term which is not negated matches, by their numbers; without one, all rows."""
        for kind, matches, negated in terms:
            if not negated:
                if kind not in self._having:
                    having: defaultdict[str, list[int]] = defaultdict(list)
                    self._having[kind] = having
                    for number, row in enumerate(self._rows):
                        for word in _words(kind, row):
                            having[word].append(number)
                return {number for word in matches for number in self._having[kind][word]}
        return range(len(self._rows))

    def unmatched(self, expressions: Iterable[str]) -> tuple[str, ...]:
        """The terms that name something no row has, as they were written: most likely spelling mistakes."""
        terms = {term.text: term for expression in expressions for term in parse(expression)}
        return tuple(text for text, term in terms.items() if not self.matches(term))

    def suggestion(self, text: str) -> str:
        """A hint for a term that matches nothing: what was probably meant, and what there is."""
        term = _term(text, text)
        if term.kind not in self._sorted:
            self._sorted[term.kind] = sorted(self.words(term.kind))
        known = self._sorted[term.kind]
        return choose(term.word, known) if known else f"no row has a {term.kind}"


def _holds(row: Row, terms: Iterable[tuple[str, frozenset[str], bool]]) -> bool:
    return all(any(word in matches for word in _words(kind, row)) is not negated for kind, matches, negated in terms)


def select(rows: Sequence[Row], expressions: Sequence[str]) -> tuple[Row, ...]:
    """See `Vocabulary.select`."""
    return Vocabulary(rows).select(expressions)


def unmatched(rows: Sequence[Row], expressions: Sequence[str]) -> tuple[str, ...]:
    """See `Vocabulary.unmatched`."""
    return Vocabulary(rows).unmatched(expressions)


def suggestion(rows: Sequence[Row], text: str) -> str:
    """See `Vocabulary.suggestion`."""
    return Vocabulary(rows).suggestion(text)


def _split(expression: str) -> list[str]:
    """At commas, but not at those inside of the brackets of an id: `search[locale=en,tier=pro]`."""
    parts, begin, depth = [], 0, 0
    for index, sign in enumerate(expression):
        if sign == "[":
            depth = 1
        elif sign == "]":
            depth = 0
        elif sign == "," and not depth:
            parts.append(expression[begin:index])
            begin = index + 1
    return [*parts, expression[begin:]]


def _term(text: str, expression: str) -> Term:
    negated = text.startswith("!")
    match = _TERM.fullmatch(text[negated:].strip())
    kind, word = (match[1] or "id", match[2].strip()) if match else ("id", "")
    if not word or word.startswith("!"):
        raise UserError(f"--select {expression!r}: {text!r} names nothing", hint=_HINT)
    if kind not in KINDS:
        raise UserError(f"--select {expression!r}: unknown term {kind!r}", hint=choose(kind, KINDS))
    return Term(text, kind, word, negated)


def _words(kind: str, row: Row) -> Iterator[str]:
    match kind:
        case "id":
            yield from row.names
        case "variant":
            if row.variant is not None:
                yield row.variant
        case "label":
            labels = row.data.get("labels")
            yield from map(str, labels if isinstance(labels, list) else ())
        case _:
            value = row.data.get(kind)
            if isinstance(value, str):
                yield value


def id_matcher(text: str) -> Callable[[str], bool]:
    """True for ids of rows that a text means: `search[tier=pro]` has its values in any order, and leaves others open.

    `*` and `?` match anything, in values as well.
    """
    whole = wildcard(text)
    base, _, rest = text.partition("[")
    items = [item.strip() for item in rest.removesuffix("]").split(",")]
    if not text.endswith("]") or not all(item == "*" or "=" in item.lstrip("*") for item in items):
        return lambda row_id: whole.fullmatch(row_id) is not None
    names = wildcard(base)
    wanted = [wildcard(item) for item in items if item != "*"]

    def means(row_id: str) -> bool:
        entry, _, point = row_id.partition("[")
        values = point.removesuffix("]").split(",")
        return whole.fullmatch(row_id) is not None or (
            bool(point)
            and any(names.fullmatch(name) for name in (entry, entry.partition("/")[0]))
            and all(any(pattern.fullmatch(value) for value in values) for pattern in wanted)
        )

    return means


def wildcard(text: str) -> re.Pattern[str]:
    """`*` and `?` alone are special: brackets are a part of ids. `**` is `*`.

    Between two stars the first place that fits is as good as any: nothing is tried twice, so time stays bounded.
    """
    return _between_stars(
        ["".join("." if sign == "?" else re.escape(sign) for sign in part) for part in _STARS.split(text)]
    )


def _between_stars(parts: Sequence[str]) -> re.Pattern[str]:
    """A regular expression of pieces with anything between them."""
    first, *rest = parts
    if not rest:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1])
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL)


_STARS = regex(r"\*+")


# ---------------------------------------------------------------------------------------------------------------------

# Rows split over CI jobs: each in exactly one, wherever it stands in the file, with those that it needs.


_FORM = regex(r"([0-9]{1,6})/([0-9]{1,6})", re.ASCII)


class Shard(Struct, frozen=True):
    """The `index`th of `count` parts, counted from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse_shard(text: str) -> Shard:
    """UserError for what is not I/N with 1 ≤ I ≤ N."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise UserError(f"--shard {text}: not of the form I/N", hint="the first of four jobs is --shard 1/4")
    shard = Shard(int(match[1]), int(match[2]))
    if not 1 <= shard.index <= shard.count:
        raise UserError(f"--shard {text}: there are shards 1 to {shard.count}", hint="I counts from 1 to N in I/N")
    return shard


def split(weight: Mapping[str, float], needs: Mapping[str, Iterable[str]], count: int) -> dict[str, int]:
    """Each row's shard, from 1: the heaviest first, each to the shard that has least so far.

    Rows that need each other stay together. Where a row stands in the file does not matter.
    """
    loads = [0.0] * count
    shards: dict[str, int] = {}
    for group in sorted(_together(weight, needs), key=lambda rows: (-sum(weight[row] for row in rows), rows)):
        shard = min(range(count), key=loads.__getitem__)
        loads[shard] += sum(weight[row] for row in group)
        shards |= dict.fromkeys(group, shard + 1)
    return shards


def fingerprint(shards: Mapping[str, int]) -> str:
    """The same in every job that splits the rows in the same way: what puts shards together again can compare it."""
    import hashlib  # noqa: PLC0415  OpenSSL takes a while to load, and only a part of a matrix needs it

    text = "\n".join(f"{row} {shard}" for row, shard in sorted(shards.items()))
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _together(rows: Iterable[str], needs: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Rows in groups that no need leads out of, each group sorted."""
    leader = {row: row for row in rows}

    def first(row: str) -> str:
        while leader[row] != row:
            leader[row] = leader[leader[row]]
            row = leader[row]
        return row

    for row in leader:
        for need in needs.get(row, ()):
            if need in leader:
                leader[first(need)] = first(row)
    groups: dict[str, list[str]] = {}
    for row in sorted(leader):
        groups.setdefault(first(row), []).append(row)
    return list(groups.values())


KEY = "paths"


_PIECE = regex(r"(\*+)|(\?)|\\(.)|([^*?])", re.DOTALL)


_WILD = regex(r"(?<!\\)[*?]")


_Step: TypeAlias = "re.Pattern[str] | None"
"""What one name on the way to a file has to look like; None stands for any folders, or none."""


def patterns_of(row: Row) -> tuple[str, ...]:
    """A row's globs as they were written; () if any change concerns it."""
    patterns = row.data.get(KEY)
    return tuple(map(str, patterns)) if isinstance(patterns, list) else ()


def concerns(patterns: Sequence[str], files: Iterable[str]) -> str | None:
    """The first of these files that the globs mean; a `!` takes out what an earlier glob meant.

    `*` and `?` stay inside of a name, `**` goes through folders, and a folder's name means all that is in it. Brackets
    are text, as in the names of routes: `app/[locale]/**`. A name that ends in `/` is a folder whose content is not
    known, such as a submodule: a glob means it that could mean a file in it, and a `!` takes out what is all its files.
    """
    globs = [(not pattern.startswith("!"), _path_glob(pattern.removeprefix("!"))) for pattern in patterns]
    for file in files:
        if next((means for means, glob in reversed(globs) if glob.means(file, any_file=means)), False):
            return file
    return None


class _Glob:
    """One glob. The time that it takes is bounded by the lengths, whatever was written."""

    def __init__(self, pattern: str) -> None:
        steps = pattern.removeprefix("./").strip("/").split("/")
        self._steps: list[_Step] = []
        for step in steps:
            self._add(step)
        if steps[-1] == "**":
            self._steps.insert(-1, _step("*"))  # something is in the folder
        elif not _WILD.search(steps[-1]):
            self._steps.append(None)

    def _add(self, step: str) -> None:
        if step.startswith("**"):
            self._steps.append(None)
        if step != "**":
            self._steps.append(_step(step))

    def means(self, file: str, *, any_file: bool = False) -> bool:
        """Of a folder whose files are not known: whether the glob means `any_file` in it, or else each."""
        if not file.endswith("/"):
            return self._means(file)
        return self._reaches(file[:-1].split("/")) if any_file else self._means(f"{file}{_NO_NAME}/{_NO_NAME}")

    def _reaches(self, names: list[str]) -> bool:
        """Whether it could mean a file in the folder of these names."""
        places = self._with_free({0})
        for name in names:
            steps = ((at, self._steps[at]) for at in places if at < len(self._steps))
            places = self._with_free(
                {at if step is None else at + 1 for at, step in steps if step is None or step.fullmatch(name)}
            )
        return bool(places)

    def _with_free(self, places: set[int]) -> set[int]:
        """Where any folders can stand, there can also be zero."""
        for at in sorted(places):
            after = at
            while after < len(self._steps) and self._steps[after] is None:
                after += 1
                places.add(after)
        return places

    def _means(self, file: str) -> bool:
        steps, names = self._steps, file.split("/")
        at = name = 0
        free: tuple[int, int] | None = None  # the last place where any folders can stand, and what they end before
        while name < len(names):
            step = steps[at] if at < len(steps) else _NOTHING
            if step is None:
                at, free = at + 1, (at + 1, name)
            elif step.fullmatch(names[name]):
                at, name = at + 1, name + 1
            elif free is not None:
                free = (free[0], free[1] + 1)
                at, name = free
            else:
                return False
        return all(step is None for step in steps[at:])


_NOTHING = regex(r"(?!)")


_NO_NAME = "\0"
"""No file is called so: only a star means it."""


_path_glob = lru_cache(maxsize=4096)(_Glob)


def _step(text: str) -> re.Pattern[str]:
    parts: list[str] = [""]
    for match in _PIECE.finditer(text):
        stars, question, escaped, plain = match.groups()
        if stars:
            parts.append("")
        else:
            parts[-1] += "." if question else re.escape(escaped or plain)
    return _between_stars(parts)


# --- globs that match nothing -----------------------------------------------------------------------------------------


def check_paths(manifest: Manifest, rows: Sequence[Row], files: Sequence[str]) -> tuple[Diagnostic, ...]:
    """A warning at each glob that means no file of the repository: most likely a spelling mistake."""
    known: dict[str, bool] = {}
    return in_order(problem for row in one_of_each(rows) for problem in _unmatched(manifest, row, files, known))


def _taker(pattern: str, later: Sequence[str]) -> str | None:
    """The `!` that takes out all files of an earlier glob, such as `!src/**` of `src/a/**`."""
    if pattern.startswith("!"):
        return None
    # A few names that only stars mean: what means them all means whatever the glob does.
    deep = (pattern.replace("**", stars).replace("*", _NO_NAME).replace("?", _NO_NAME) for stars in _DEPTHS)
    files = [name.strip("/") for name in deep]
    globs = ((word, _path_glob(word[1:])) for word in later if word.startswith("!"))
    return next((word for word, glob in globs if word[1:] == pattern or all(map(glob.means, files))), None)


_DEPTHS = ("*", "*/*", "*/*/*")


def _unmatched(manifest: Manifest, row: Row, files: Sequence[str], known: dict[str, bool]) -> Iterator[Diagnostic]:
    patterns = patterns_of(row)
    for index, pattern in enumerate(patterns):
        bare = pattern.removeprefix("!")
        if (taken := _taker(pattern, patterns[index + 1 :])) is not None:
            message = f"paths: {taken!r} takes out all that {pattern!r} means"
            place = RowLocator(manifest, row)
            yield problem(place, (KEY, index), message, code=Code.NO_FILE)
            continue
        if bare not in known:
            known[bare] = concerns((bare,), files) is not None
        if not known[bare]:
            message = f"paths: {pattern!r} matches no file of the repository"
            hint = "globs begin at the repository's root: src/**, or **/checkout/**"
            yield problem(RowLocator(manifest, row), (KEY, index), message, code=Code.NO_FILE, hint=hint)
