"""Reads the bodies of TesterArmy's creates, each with its own fields (testerarmy.md: Create)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from qarunner.emulator.strict import Fields, Wrong, one_of, text, text_up_to, uuid_text, web_address, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.emulator.strict import Reader

ACCEPTED = (".app.zip", ".app.tar.gz", ".zip", ".tgz", ".apk")
PLATFORM = one_of("web", "ios", "android")


class Shelf(Protocol):
    """Knows which uploaded apps can be run."""

    def check(self, app: str, path: str) -> None:
        """Refuses an app that is gone."""


def read_group_run(value: object, shelf: Shelf) -> Mapping[str, object]:
    """`POST /groups/{groupId}/runs`: every field is optional."""
    with Fields(value) as fields:
        platform = fields.maybe("platform", PLATFORM)
        _check_device(fields, platform)
        fields.maybe("projectEnvironmentId", uuid_text)
        fields.maybe("environment", one_of("production", "staging", "preview", "custom"))
        fields.maybe("commitSha", text)
        fields.maybe("prNumber", whole(least=1))
        if platform in {"ios", "android"}:
            fields.forbid("targetUrl", f"goes with platform web, not {platform}")
        fields.maybe("targetUrl", web_address)
        if platform == "web":
            fields.forbid("mobile", "goes with platforms ios and android only")
        fields.maybe("mobile", _mobile(shelf))
    return _plain(value)


def read_test_run(value: object, shelf: Shelf) -> Mapping[str, object]:
    """`POST /tests/{testId}/runs`: neither `targetUrl` nor `commitSha` here."""
    with Fields(value) as fields:
        fields.maybe("mode", one_of("fast", "deep"))
        platform = fields.maybe("platform", PLATFORM)
        _check_device(fields, platform)
        fields.maybe("projectEnvironmentId", uuid_text)
        if platform == "web":
            fields.forbid("appId", "goes with platforms ios and android only")
        app = fields.maybe("appId", uuid_text)
        if app:
            shelf.check(app, "appId")
    return _plain(value)


def read_pull_request_run(value: object, shelf: Shelf) -> Mapping[str, object]:
    """`POST /projects/{projectId}/pull-request-runs`: a web run has a `targetUrl`, a mobile one a `platform`."""
    with Fields(value) as fields:
        if fields.exactly_one("targetUrl", "platform") == "targetUrl":
            fields.need("targetUrl", web_address)
            for name in ("mobile", "simulatorRegion"):
                fields.forbid(name, "goes with a mobile platform, not with targetUrl")
        else:
            fields.need("platform", one_of("ios", "android"))
            fields.maybe("mobile", _mobile(shelf))
            fields.maybe("simulatorRegion", one_of("eu-north1", "us-west1"))
        fields.need("pullRequest", _pull_request)
    return _plain(value)


def _pull_request(value: object, path: str) -> None:
    with Fields(value, path) as fields:
        fields.maybe("provider", one_of("github"))
        fields.need("number", whole(least=1))
        fields.need("title", text_up_to(500))
        fields.maybe("description", text_up_to(5000, least=0))
        fields.maybe("baseBranch", text_up_to(255))
        fields.maybe("headBranch", text_up_to(255))
        fields.need("commitSha", text_up_to(100))


def _check_device(fields: Fields, platform: str | None) -> None:
    if platform in {"web", "android"}:
        fields.forbid("deviceModel", f"goes with platform ios, not {platform}")
    fields.maybe("deviceModel", one_of("iphone", "ipad"))


def _mobile(shelf: Shelf) -> Reader[None]:
    def read(value: object, path: str) -> None:
        with Fields(value, path) as fields:
            source = fields.at_most_one("appId", "bundleId", "artifactUrl")
            if source == "appId":
                shelf.check(fields.need("appId", uuid_text), fields.at("appId"))
            fields.maybe("bundleId", text)
            if source == "artifactUrl":
                fields.need("artifactUrl", web_address)
                check_filename(fields.need("artifactFilename", text), fields.at("artifactFilename"))
            else:
                fields.forbid("artifactFilename", "goes with artifactUrl only")
            fields.maybe("buildId", text)

    return read


def check_filename(name: str, path: str) -> None:
    """Refuses a build that TesterArmy does not take (testerarmy.md: A build)."""
    if not name.lower().endswith(ACCEPTED):
        raise Wrong(path, f"must end in {', '.join(ACCEPTED)}")


def _plain(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}
