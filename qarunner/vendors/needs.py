"""What has to exist at a vendor before a create: builds and environments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from qarunner.cursor import Json


class ResourceKind(StrEnum):
    """A build is uploaded once per vendor and content; an environment is made for one job and deleted afterwards."""

    BUILD = "build"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A local build: its path in the repository (with `/`), its size in bytes, the SHA-256 of its content in hex.

    A folder of split APKs is one build; its size and hash are those of the files in it, in order of their names.
    """

    path: str
    filename: str
    size: int
    sha256: str
    folder: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something that a call's create refers to. `key` is the adapter's name for it within the call.

    `path` is the build's as the manifest has it; `data` is what the adapter wants to be told again in `prepare`.
    """

    key: str
    kind: ResourceKind
    path: str | None = None
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A need of the plan. Equal needs of several jobs are one resource; `id` is unique in the plan."""

    id: str
    vendor: str
    kind: ResourceKind
    build: Build | None = None
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A resource that exists at the vendor; `values` are what creates refer to, such as `target_id`."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """How a person finds a resource at the vendor, and what to do there. `details` are its names: a key, an id."""

    what: str
    todo: str
    details: Mapping[str, str] = field(default_factory=dict)


def use(key: str, field_: str) -> str:
    """The text in a create's body that stands for a value of a prepared resource: put in when the create is sent."""
    return f"⟦use:{field_}:{key}⟧"


_USE = re.compile(r"⟦use:([a-z_]+):([^⟧]*)⟧")


def fill(body: Json, values: Mapping[str, Mapping[str, str]]) -> Json:
    """A body with the values of prepared resources in place of `use(key, field)`. KeyError if one is missing."""
    match body:
        case str():
            return _USE.sub(lambda found: values[found[2]][found[1]], body) if "⟦use:" in body else body
        case dict():
            return {name: fill(value, values) for name, value in body.items()}
        case list() | tuple():
            return [fill(value, values) for value in body]
        case _:
            return body


def described(body: Json, names: Mapping[str, str]) -> Json:
    """For people: a body with words in place of `use(key, field)`; `names` is what each key is called."""
    match body:
        case str():
            return _USE.sub(lambda found: f"<{found[1]} of {names.get(found[2], found[2])}>", body)
        case dict():
            return {name: described(value, names) for name, value in body.items()}
        case list() | tuple():
            return [described(value, names) for value in body]
        case _:
            return body


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRules:
    """What a vendor takes as `target.binary`: endings of file names, and how many bytes at most (None: not known)."""

    endings: tuple[str, ...]
    max_bytes: int | None = None
    folders: bool = False
    """Whether a folder of split APKs is taken as well."""
    zips_of_apks: bool = False
    """Whether a .zip holds one .apk, or base.apk with split_config.*.apk, and nothing else."""
