"""The site builds without warnings, its links work, and it loads nothing from other hosts."""

import html.parser
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import hmar_keras
import hmar_keras.layers

from .documents import ROOT

pytestmark = pytest.mark.docs

LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}


class Page(html.parser.HTMLParser):
    """The resources, links and anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.loads, self.links, self.anchors = [], [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if "id" in attrs:
            self.anchors.add(attrs["id"])
        if tag in LOADED and attrs.get(LOADED[tag]) and attrs.get("rel") != "canonical":
            self.loads.append(attrs[LOADED[tag]])
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", "docs/mkdocs.yml"]
    process = subprocess.run(
        [*command, "-d", str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert process.returncode == 0, process.stderr
    assert "WARNING" not in process.stderr
    return {path.relative_to(directory): Page(path) for path in sorted(directory.rglob("*.html"))}


def test_links_lead_somewhere(site):
    for name, page in site.items():
        if name == Path("404.html"):  # its links are relative to the root of the site
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                assert parts.scheme in ("http", "https", "mailto"), f"{name}: {link}"
                continue
            target = name.parent / unquote(parts.path) if parts.path else name
            target = Path(os.path.normpath(target))
            target = target / "index.html" if target == Path(".") else target
            assert target in site, f"{name}: {link}"
            anchors = site[target].anchors
            assert not parts.fragment or unquote(parts.fragment) in anchors, f"{name}: {link}"


def test_nothing_is_loaded_from_elsewhere(site):
    for name, page in site.items():
        for source in page.loads:
            assert not re.match("(https?:)?//", source), f"{name} loads {source}"


def test_every_public_name_has_its_place(site):
    places = set().union(*(page.anchors for page in site.values()))
    layers = {f"hmar_keras.layers.{name}" for name in hmar_keras.layers.__all__}
    models = {f"hmar_keras.{name}" for name in hmar_keras.__all__ if name != "__version__"}
    assert layers | (models - {"hmar_keras.PRESETS"}) <= places
