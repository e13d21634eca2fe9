"""Certyn's projects: the id behind a slug, and an environment of its own for an address that is to be tested.

A create takes the key of an environment and no URL. All of this was read from the vendor's published CLI and sample
repository ("client"); an environment needs a key with the scope platform:manage (dev.certyn.io/docs, api-keys).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from typing import TYPE_CHECKING

from qarunner.decode import JsonReader, UnexpectedData
from qarunner.entry import TargetKind
from qarunner.regex import regex
from qarunner.secret import without_encoding
from qarunner.vendors import replies as answers
from qarunner.vendors.api import (
    Call,
    Dependency,
    Leftover,
    Metadata,
    More,
    Prepared,
    PrepareStep,
    Refusal,
    Reply,
    Request,
    Resource,
    ResourceKind,
    Vendor,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


NEED = "environment"
"""The adapter's name for the one environment of a call."""


KEY = "key"
"""The name of an environment's key among the values of the prepared one."""


_SLUG = regex(r"[a-z0-9]+(-[a-z0-9]+)*")


_LONGEST_TOKEN = 40


_MOST_NAMED = 10


def overview() -> Request:
    """The request for the projects that a key sees."""
    return Request(method="GET", path="/api/projects/overview")


def project_id(reply: Reply, slug: str) -> str | Refusal:
    """The id of the project with a slug. Refusal if it is missing: the default project is another one."""
    projects = list(reply.json().get("projects").items())
    ids = {
        answers.path_id(project.get("id"))
        for project in projects
        if without_encoding(project.get("slug").text_or("") or "") == without_encoding(slug)
    }
    if len(ids) > 1:
        return Refusal(message=f"Certyn shows this key {len(ids)} projects {slug!r}: {', '.join(sorted(ids))}")
    if ids:
        return ids.pop()
    names = [name for project in projects if (name := project.get("slug").text_or())]
    seen = ", ".join(names[:_MOST_NAMED]) or "none"
    return Refusal(
        message=f"Certyn shows this key no project {slug!r}; it shows {seen}. Set vendors.certyn.project, or the "
        "variable CERTYN_PROJECT, to one of them, or take a key of that project"
    )


def _addresses(call: Call) -> list[str]:
    targets = [entry.target for entry in call.entries if entry.target]
    return [target.value for target in targets if target.kind is TargetKind.WEB_URL]


def _label(metadata: Metadata) -> str:
    what = f"#{metadata.pr_number}" if metadata.pr_number else answers.short_commit(metadata)
    return f"qarunner preview of {what}" if what else "qarunner preview"


_PAGE_SIZE = "100"
"""Client: so many does the CLI ask for."""


_MOST_PAGES = 10
"""So many pages are looked at before a create: each is a read of the tenant's, and all but one project has fewer."""


def next_page(path: str, pages: Sequence[Reply]) -> Request | None:
    """The request for a list's next page; None after the last one. UnexpectedData if the newest one is no such page.

    Documented: each page says whether there is another one.
    """
    answers.check_goes_on(pages, "items")
    if pages:
        answers.check_about(answers.page(pages[-1]).get("page"), str(len(pages)), "page")
    if pages and not _has_more(answers.page(pages[-1]).get("hasNextPage")):
        return None
    return Request(method="GET", path=path, query=(("page", str(len(pages) + 1)), ("pageSize", _PAGE_SIZE)))


def _has_more(answer: JsonReader) -> bool:
    if not isinstance(answer.value, bool):
        raise answer.fail("a boolean")
    return answer.value


def _look(folder: str, pages: Sequence[Reply]) -> Request | None:
    """What is left to read of the list; None if no more of it can be read."""
    if len(pages) >= _MOST_PAGES or (pages and not pages[-1].ok):
        return None
    with contextlib.suppress(UnexpectedData):
        return next_page(folder, pages)
    return None


def _listed(pages: Sequence[Reply], key: str, base_url: str) -> str | None:
    """The id of the one environment of a key. One with another address is somebody else's, two are ambiguous."""
    addresses: dict[str, str] = {}
    for reply in pages:
        with contextlib.suppress(UnexpectedData):
            for item in answers.page(reply).get("items").items() if reply.ok else ():
                if (item.get("key").text_or() or "").lower() == key:  # client: keys are compared in any case
                    addresses[answers.path_id(item.get("id"))] = _address(item.get("baseUrl").text_or() or "")
    return next(iter(addresses)) if list(addresses.values()) == [_address(base_url)] else None


def _address(url: str) -> str:
    """assumed: Certyn shows an address as it was sent, but for a slash at its end."""
    return without_encoding(url).rstrip("/")


_TAKEN = frozenset({409})


_PERHAPS_TAKEN = frozenset({400, 422})


def _environments(project: str) -> str:
    return f"/api/projects/{answers.segment(project)}/environments"


def _key(token: str) -> str:
    """assumed: a key is a slug of lower-case letters, digits and hyphens, as those in the vendor's samples are."""
    if len(token) > _LONGEST_TOKEN or not _SLUG.fullmatch(token):
        token = hashlib.sha256(token.encode()).hexdigest()[:20]
    return f"qarunner-{token}"


class Environments(Vendor):
    """What the adapter says of environments."""

    def resources(self, call: Call) -> Iterator[Dependency]:
        """An environment for the call's address, if it has one. Equal ones are shared: nothing in it is the entry's."""
        for url in _addresses(call):
            data = {
                "project": call.settings["project"],
                "base_url": url,
                "label": _label(call.metadata),
                # assumed: `version` is free text; the commit tells most, and "1" stands in where it is not known
                "version": answers.short_commit(call.metadata) or "1",
            }
            yield Dependency(key=NEED, kind=ResourceKind.ENVIRONMENT, data=data)

    def notices(self, call: Call) -> Iterator[str]:
        """What the plan says of it beforehand."""
        for url in _addresses(call):
            yield (
                f"certyn gets a new environment for {url} in project {call.settings['project']}, deleted afterwards; "
                "its key needs the scope platform:manage"
            )

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> PrepareStep:
        """The project's id, then the environment: the one that an earlier create has made, or a new one.

        The answer of an earlier create may be lost, so the list is asked for this key first. It is client only: where
        it cannot be read, the create is sent at once.
        """
        data = resource.data
        if not replies:
            return overview()
        project = project_id(replies[0], str(data["project"]))
        if isinstance(project, Refusal):
            return project
        key, folder, base_url = _key(token), _environments(project), str(data["base_url"])
        pages: list[Reply] = []
        later = list(replies[1:])
        while (request := _look(folder, pages)) is not None:
            if not later:
                return More(request=request, best_effort=True)
            pages.append(later.pop(0))
        name = _listed(pages, key, base_url)
        if name is None and not later:
            body = {"key": key, "label": data["label"], "baseUrl": base_url, "version": data["version"]}
            return Request(method="POST", path=folder, body=body)
        if name is None:
            name = answers.path_id(later[0].json().get("id"))
        return Prepared(values={KEY: key, "id": name, "project_id": project})

    def taken(self, resource: Resource, token: str, reply: Reply) -> bool:
        """assumed: a second environment of one key is refused as a conflict, or in words that name the key."""
        if reply.status in _TAKEN:
            return True
        named = _key(token) in reply.text or re.search(r"\bkey\b", reply.text, re.IGNORECASE) is not None
        return reply.status in _PERHAPS_TAKEN and named

    def leftover(self, resource: Resource, token: str, prepared: Prepared | None) -> Leftover:
        """An environment by its key, which is all that is known of it before Certyn's answer."""
        key, project = _key(token), str(resource.data.get("project"))
        known = {} if prepared is None else {name: str(value) for name, value in prepared.values.items()}
        details = {"project": project, **known, KEY: key}
        return Leftover(what=f"environment {key} of project {project}", todo="delete it in Certyn", details=details)

    def release(self, resource: Resource, prepared: Prepared) -> Request:
        """The request that deletes an environment."""
        project, name = (str(prepared.values[key]) for key in ("project_id", "id"))
        path = f"{_environments(project)}/{answers.segment(name)}"
        return Request(method="DELETE", path=path)
