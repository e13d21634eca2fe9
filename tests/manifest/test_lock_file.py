"""The lock as a file: what is written is read back, whatever a vendor calls its tests; all else is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qarunner.entry import NameKind
from qarunner.errors import ManifestError
from qarunner.manifest.codes import Code
from qarunner.manifest.lock import Lock, Scope, parse, same, to_text

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="⟦⟧"), min_size=1, max_size=12)
SCOPES = st.builds(Scope, TEXTS, st.one_of(st.none(), TEXTS), st.sampled_from(NameKind))
NAMES = st.dictionaries(TEXTS.map(same), st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=3), min_size=1, max_size=3)
LOCKS = st.builds(Lock, day=st.just("2026-11-28"), names=st.dictionaries(SCOPES, NAMES, max_size=3))


@given(lock=LOCKS)
def test_what_is_written_is_read_back_byte_for_byte(lock: Lock) -> None:
    text = to_text(lock, "qa-matrix.yml")
    read = parse("qa-matrix.lock", text)
    assert read == lock
    assert to_text(read, "qa-matrix.yml") == text
    assert all(line.isprintable() for line in text.decode().splitlines())


@given(lock=LOCKS, data=st.data())
def test_a_damaged_lock_is_one_error_or_another_lock(lock: Lock, data: st.DataObject) -> None:
    text = to_text(lock, "qa-matrix.yml")
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, len(text)))
    try:
        parse("qa-matrix.lock", text[:at] + data.draw(st.binary(max_size=6)) + text[end:])
    except ManifestError as error:
        (result,) = error.diagnostics
        assert (result.code, result.place.file) == (Code.BAD_LOCK, "qa-matrix.lock")
