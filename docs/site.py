"""The documentation as a site: hooks of MkDocs that read the repository's pages where GitHub shows them.

A page's links are relative to its place in the repository, so every page gets its source path from there: `docs/settings.md`,
`README.md`, `manifests/components/canary/README.md`. Whatever a page links to becomes a page too: a folder by its README or as a list
of its files, a source file as text. So a link leads to the same thing on GitHub and on the site, and one to nothing fails the build.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, join, normpath

import mmdr
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
START = "README.md"
# Where links of the first pages do not lead.
ALSO = ("CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md")
_FENCED = re.compile(r"^(```.*?^```)$", re.DOTALL | re.MULTILINE)
_DIAGRAM = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".sh": "bash"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The theme's files as they are; those of docs/ by their paths in the repository, and all that pages lead to."""
    own = [file for file in files if file.src_dir == config.docs_dir]
    found = Files([file for file in files if file.src_dir != config.docs_dir])
    wanted = [START, *ALSO, *(f"docs/{file.src_uri}" for file in own)]
    for source in wanted:  # grows while it is read
        if found.get_file_from_path(source):
            continue
        file = _file(source, config)
        found.append(file)
        if source.endswith(".md") and (ROOT / source).exists():
            targets = (_target(source, link) for link in _links((ROOT / source).read_text("utf-8")))
            wanted += [target for target in targets if target]
    return found


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Python-Markdown's dialect of what GitHub reads; links to folders and sources lead to their pages."""
    source = page.file.src_uri
    parts = _FENCED.split(markdown)
    for number in range(0, len(parts), 2):
        parts[number] = _LINK.sub(lambda link: _shown(source, link[1]) + (link[2] or ""), parts[number])
        # GitHub nests a list by two spaces, Python-Markdown by four.
        parts[number] = re.sub(r"^  (?=- )", "    ", parts[number], flags=re.MULTILINE)
    count = iter(range(1, len(parts)))
    return _DIAGRAM.sub(lambda diagram: _drawn(diagram[1], next(count)), "".join(parts))


def _links(markdown: str) -> Iterator[str]:
    for part in _FENCED.split(markdown)[::2]:
        yield from (link[1] for link in _LINK.finditer(part))


def _target(source: str, link: str) -> str | None:
    """The source path of the page that a link leads to; None where there is nothing, which MkDocs then warns of."""
    path = normpath(join(dirname(source), link))
    if (ROOT / path).is_dir():
        readme = f"{path}/README.md"
        return readme if (ROOT / readme).exists() else f"{path}/index.md"
    if not (ROOT / path).is_file():
        return None
    return path if path.endswith((".md", ".svg", ".png")) else f"{path}.md"


def _shown(source: str, link: str) -> str:
    target = _target(source, link)
    up = "../" * source.count("/")
    return f"{up}{target}" if target else link


def _file(source: str, config: MkDocsConfig) -> File:
    if not (ROOT / source).exists():
        text = _listing(source.removesuffix("/index.md")) if source.endswith("/index.md") else _text(source.removesuffix(".md"))
        return File.generated(config, source, content=text, inclusion=InclusionLevel.NOT_IN_NAV)
    file = File.generated(config, source, abs_src_path=str(ROOT / source))
    # What docs/ has is at the root of the site.
    file.dest_uri = file.dest_uri.removeprefix("docs/")
    return file


def _listing(folder: str) -> str:
    entries = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).iterdir() if not path.name.startswith((".", "__")))
    return f"# {folder}/\n\n" + "".join(f"- `{entry}`\n" for entry in entries)


def _text(path: str) -> str:
    text = (ROOT / path).read_text("utf-8")
    fence = "`" * 4
    return f"# {path}\n\n{fence}{_LANGUAGES.get(Path(path).suffix, 'text')}\n{text}{fence}\n"


def _drawn(diagram: str, number: int) -> str:
    """As SVG in the page, so that a reader's browser fetches no program to draw it; ids are those of this diagram alone."""
    svg = mmdr.render(diagram).svg().replace("merman", f"diagram-{number}")
    return f'<div class="diagram">{svg}</div>'
