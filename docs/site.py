"""What `make docs` adds to the site: the README as its first page, and the files outside of docs/ that pages link to.

MkDocs calls these hooks (mkdocs.org, "Hooks"). A link out of docs/ leads to a copy: the site needs no repository host.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
NO_SOURCE = re.compile(r"^[._]|^build$|\.egg-info$")
"""Folders that tools make."""
LINK = re.compile(r"(\]\()(?![a-z]+:|#|/)([^)\s#]+)(#[^)\s]*)?(\))")
HOME = "README.md"
COPIES = "files"
SYSTEMS = "examples/pipelines"
TITLES = {"github": "GitHub", "gitlab": "GitLab", "circleci": "CircleCI", "azure": "Azure Pipelines"}
"""Names of CI systems that are not just their folder's with a capital."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the first page, and what the pages link to outside of docs/."""
    waiting = [f"docs/{file.src_uri}" for file in files if file.is_documentation_page()] + [HOME]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        if not path.startswith("docs/"):
            files.append(File.generated(config, place(path), content=content(path)))
        if path.endswith(".md") or (ROOT / path).is_dir():
            waiting += [target for target in targets(path) if (ROOT / target).exists()]
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Leads links to where the copies are."""
    own = page.file.src_uri
    path = next((path for path in origins() if place(path) == own), f"docs/{own}")
    return LINK.sub(lambda link: f"{link[1]}{moved(path, own, link[2])}{link[3] or ''}{link[4]}", markdown)


def origins() -> list[str]:
    """Paths of pages from outside of docs/, from the repository's root."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "examples").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    folders = [folder for folder in (ROOT / "examples", *(ROOT / "examples").rglob("*")) if folder.is_dir()]
    return [path.relative_to(ROOT).as_posix() for path in (*pages, *folders)]


def place(path: str) -> str:
    """Where the site has a file of the repository. Folders become a page that lists them."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path == HOME:
        return "index.md"
    if (ROOT / path).is_dir():
        return f"{COPIES}/{path}/index.md"
    name = path if path.endswith((".md", ".svg")) else f"{path}.txt"  # a browser shows it, and does not save it
    return f"{COPIES}/{name.replace('/.', '/')}"


def content(path: str) -> str:
    """The text of a file; for a folder, a list of what is in it; for a CI system's folder, its files themselves."""
    file = ROOT / path
    if not file.is_dir():
        return file.read_text(encoding="utf-8")
    entries = sorted(each for each in file.iterdir() if not (each.is_dir() and NO_SOURCE.search(each.name)))
    if posixpath.dirname(path) == SYSTEMS:
        title = TITLES.get(file.name, file.name.capitalize())
        blocks = [f"## {each.name}\n\n```yaml\n{each.read_text(encoding='utf-8')}```\n" for each in entries]
        return "\n".join(
            [f"# {title}", "", "What holds for all systems: [in pipelines](../../../docs/pipelines.md).", "", *blocks]
        )
    lines = [f"- [{each.name}]({each.name})" for each in entries]
    return "\n".join([f"# {path}", "", *lines, ""])


def targets(path: str) -> list[str]:
    """What a page links to, as paths from the repository's root."""
    return [resolved(path, link[2]) for link in LINK.finditer(content(path))]


def resolved(path: str, link: str) -> str:
    folder = path if (ROOT / path).is_dir() else posixpath.dirname(path)
    return posixpath.normpath(posixpath.join(folder, link))


def moved(path: str, own: str, link: str) -> str:
    target = resolved(path, link)
    return posixpath.relpath(place(target), posixpath.dirname(own) or ".") if (ROOT / target).exists() else link
