"""Pages that live elsewhere in the repository, or that a program writes.

READMEs are pages of the site as they are, so that `docs/pages` need not repeat them; links between
such files become links between pages.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
PAGES = "docs/pages"

# The page of each file of the repository.
REPOSITORY_PAGES = {
    "README.md": "index.md",
    "BUILD_NOTES.md": "build_notes.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "deploy/README.md": "deployment.md",
    "examples/README.md": "examples.md",
    "saved_models/README.md": "signatures.md",
    **{
        str(readme.relative_to(ROOT)): f"datasets/{readme.parent.name}.md"
        for readme in sorted(ROOT.glob("pipelines/datasets/*/README.md"))
    },
}
_SOURCES = {page: source for source, page in REPOSITORY_PAGES.items()}
_LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)")


def on_files(files, config):
    """Adds these pages to the site."""
    for source, page in REPOSITORY_PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "reference/commands.md", content=commands()))
    return files


def on_page_markdown(markdown, page, **_):
    """Turns links to files of the repository into links to their pages."""
    uri = page.file.src_uri
    folder = posixpath.dirname(_SOURCES.get(uri, f"{PAGES}/{uri}"))
    start = posixpath.dirname(uri) or "."

    def link(match):
        target = posixpath.normpath(posixpath.join(folder, match[2]))
        if target + "/README.md" in REPOSITORY_PAGES:
            target += "/README.md"
        target = REPOSITORY_PAGES.get(target, posixpath.relpath(target, PAGES))
        return match[1] + posixpath.relpath(target, start)

    return _LINK.sub(link, markdown)


def commands() -> str:
    """Returns the `--help` of all commands as Markdown, written by Typer."""
    command = [sys.executable, "-m", "typer", "pipelines.cli.app", "utils", "docs"]
    command += ["--name", "hmar", "--title", "Commands"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return process.stdout
