"""What the documents show can be done as it stands.

Python blocks are executed, those of one page one after another in an empty directory, unless a
comment before them says why not; then they are compiled. Of every command its options must exist
and its values must fit. `tests/test_readme.py` runs the README's own blocks.
"""

import functools
import re
import runpy
import sys

import pytest
from typer.main import get_command

from hmar_keras.models import MODELS
from pipelines.cli.app import app

from .documents import ROOT, code_blocks, commands, documents

DOCUMENTS = documents()
WITH_PYTHON = [
    name for name, text in DOCUMENTS.items() if "```python" in text and name != "README.md"
]
COMMANDS = [(name, words) for name, text in DOCUMENTS.items() for words in commands(text)]


def test_there_is_something_to_check():
    assert {"docs/pages/layers.md", "docs/pages/data.md"} <= set(WITH_PYTHON)
    assert len(COMMANDS) > 60


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_python_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HMAR_CACHE", str(tmp_path / "cache"))
    before, names = dict(MODELS), {}
    for number, (code, reason) in enumerate(code_blocks(DOCUMENTS[name], "python")):
        program = compile(code, f"{name}, block {number}", "exec")
        if reason is None:
            exec(program, names)
    for own in set(MODELS) - set(before):  # that a page registers
        del MODELS[own]


def test_only_what_needs_something_else_is_not_run():
    reasons = [
        reason
        for text in DOCUMENTS.values()
        for _, reason in code_blocks(text, "python")
        if reason is not None
    ]
    assert all(reason.startswith("needs ") for reason in reasons)


@pytest.mark.parametrize("name, words", COMMANDS, ids=[" ".join(words) for _, words in COMMANDS])
def test_commands_exist_with_these_options(name, words):
    command, path = get_command(app), "hmar"
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, f"{name}: {path} has no {words[0]}"
        command, path, words = command.commands[words[0]], f"{path} {words[0]}", words[1:]
    known = {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help"}
    options = {word.split("=")[0] for word in words if re.match("--?[a-z]", word)}
    assert options <= known, f"{name}: {path} has no {options - known}"
    # A command is often named by an option alone, or with dots for the rest.
    required = {opt for parameter in command.params if parameter.required for opt in parameter.opts}
    complete = all(opt in words for opt in required if opt.startswith("-"))
    if words and complete and "..." not in words and words[-1] not in options:
        command.make_context(path, list(words))


def test_the_pictures_are_what_their_programs_draw(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["drawing", str(tmp_path)])
    runpy.run_path(str(ROOT / "docs" / "drawing"), run_name="__main__")
    pictures = ROOT / "docs" / "pages" / "pictures"
    drawn = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in pictures.glob("*.svg")}
    assert drawn == kept
    for picture in kept.values():
        assert re.search(r"<title[^>]*>\w+", picture) and re.search(r"<desc[^>]*>\w+", picture)
        assert "prefers-color-scheme: dark" in picture
        assert not re.search(r"(href|src|url)\s*[=(]\s*[\"']?https?:", picture)


@functools.cache
def python_text():
    """All code of the repository, in which a name that a document uses must occur."""
    folders = ("hmar_keras", "pipelines", "benchmarks", "examples", "tests", "docs")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


SPANS = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PATH = re.compile(r"[\w.\-]+(/[\w.\-]+)*/?[\w.\-]*\.(py|md|toml|yml|svg)")
CAMEL = re.compile(r"(?:[A-Z][a-z0-9]+){2,}\w*")
# Of other projects, or of what a removed thing was called.
STRANGERS = {"DistributedEmbedding", "DirectRunner", "PortableRunner", "SparseCore"}


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name != "CHANGELOG.md"])
def test_files_and_classes_that_are_named_exist(name):
    text, code = DOCUMENTS[name], python_text()
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    places = [ROOT, (ROOT / name).parent, ROOT / "pipelines", ROOT / "hmar_keras", ROOT / "tests"]
    for span in SPANS.findall(prose):
        if PATH.fullmatch(span) and "/" in span:
            assert any((place / span).exists() for place in places), f"{name} names {span}"
        for word in CAMEL.findall(span):
            if word not in STRANGERS:
                assert re.search(rf"\b{word}\b", code), f"{name} names {word}"
