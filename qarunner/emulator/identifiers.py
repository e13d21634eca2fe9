"""Makes ids of the shapes that vendors use, and names for people."""

from __future__ import annotations

import re
import secrets
import string
from random import Random
from typing import TYPE_CHECKING, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


def short_id(length: int = 12) -> str:
    """Letters and digits, such as `k3n2mPq9Rxyz`."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


def lower_id(prefix: str, length: int = 6) -> str:
    """A prefix with lower-case letters and digits, such as `bin_abc123`."""
    return prefix + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(length))


def new_uuid() -> str:
    """A fresh UUID."""
    return str(uuid4())


def uuid_of(*parts: object) -> str:
    """The same UUID for the same parts, every time."""
    return str(uuid5(NAMESPACE_URL, "qarunner-emulator:" + "/".join(map(str, parts))))


def readable(identifier: str) -> str:
    """A plausible name for an id: `checkout-flow` becomes `Checkout Flow`, a UUID `Test 1b4e28ba`."""
    try:
        return f"Test {str(UUID(identifier))[:8]}"
    except ValueError:
        words = re.split(r"[\s_.\-/]+", identifier)
        return " ".join(word[:1].upper() + word[1:] for word in words if word) or identifier


def shuffled(items: Sequence[T], salt: str) -> list[T]:
    """The items in another order, the same one every time; two or more are never in their own order."""
    indexes = list(range(len(items)))
    Random(f"{salt}{len(items)}").shuffle(indexes)  # noqa: S311 (an order, not a secret)
    if indexes == sorted(indexes):
        indexes.reverse()
    return [items[index] for index in indexes]
