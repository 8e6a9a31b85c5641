"""The code in documents, docstrings and messages works, and the names in them exist.

The Python blocks of a page are executed in order, in an empty directory; a block is only compiled
if a comment before it says why it is not run. Every command must have the options shown, with valid
values. `names.py` checks that commands, options, settings, files, links and dotted names exist.
`tests/test_readme.py` runs the README's own blocks.
"""

import functools
import re
import runpy
import sys

import pytest

from hmar_keras.models import MODELS
from hmar_keras.settings import RENAMED, RETIRED

from . import names
from .documents import ROOT, code_blocks, commands, documents, spans

DOCUMENTS = documents()
WITH_PYTHON = [
    name for name, text in DOCUMENTS.items() if "```python" in text and name != "README.md"
]
DOCSTRINGS = [(name, text) for name, texts in names.docstrings().items() for text in texts]
COMMANDS = [
    (name, words) for name, text in [*DOCUMENTS.items(), *DOCSTRINGS] for words in commands(text)
]
# The changelog's Changed and Removed sections name things that do not exist.
PRESENT = {
    **DOCUMENTS,
    "CHANGELOG.md": re.sub(
        r"^### (Changed|Removed)$.*?(?=^### |\Z)", "", DOCUMENTS["CHANGELOG.md"], flags=re.M | re.S
    ),
}


def test_there_is_something_to_check():
    assert {"docs/pages/layers.md", "docs/pages/data.md"} <= set(WITH_PYTHON)
    assert len(COMMANDS) > 60


@pytest.mark.docs
@pytest.mark.parametrize("name", WITH_PYTHON)
def test_python_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HMAR_CACHE", str(tmp_path / "cache"))
    before, namespace = dict(MODELS), {}
    for number, (code, reason) in enumerate(code_blocks(DOCUMENTS[name], "python")):
        program = compile(code, f"{name}, block {number}", "exec")
        if reason is None:
            exec(program, namespace)
    for own in set(MODELS) - set(before):  # registered by the page
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
    command, path = names.hmar(), "hmar"
    while words[:1] == ["--import"]:  # the only option before a command
        words = words[2:]
    while hasattr(command, "commands") and words and words != ["..."]:
        assert words[0] in command.commands, f"{name}: {path} has no {words[0]}"
        command, path, words = command.commands[words[0]], f"{path} {words[0]}", words[1:]
    known = {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help"}
    options = {word.split("=")[0] for word in words if re.match("--?[a-z]", word)}
    assert options <= known, f"{name}: {path} has no {options - known}"
    # Documents often show a command with one option only, or with dots for the rest.
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
def words_of_code():
    """Returns every word in the repository's code; a class that a document names must be in it."""
    folders = ("hmar_keras", "pipelines", "benchmarks", "examples", "tests", "docs")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return set(re.findall(r"\w+", "\n".join(path.read_text(encoding="utf-8") for path in files)))


CAMEL = re.compile(r"\b(?:[A-Z][a-z0-9]+){2,}\w*")
# Classes of other projects.
STRANGERS = {"DistributedEmbedding", "DirectRunner", "PortableRunner", "SparseCore"}


@pytest.mark.parametrize("name", PRESENT)
def test_everything_that_a_document_names_exists(name):
    text = PRESENT[name]
    folder = name.rpartition("/")[0]
    assert names.dead_options(names.shell_lines(text)) == []
    assert names.dead_settings(text) == []
    assert names.dead_paths(text, folder) == []
    assert names.dead_links(text, name) == []
    assert names.dead_references(text) == []
    classes = {word for span in spans(text) for word in CAMEL.findall(span)}
    assert classes - STRANGERS <= words_of_code()
    assert [span for span in spans(text) if span in {*RENAMED, *RETIRED}] == []


def test_everything_that_docstrings_and_messages_name_exists():
    dead = []
    for name, code in names.python_files().items():
        found = names.dead_mentions(code)
        for text in names.strings(code):
            found += names.dead_in_string(text)
        for text in names.docstrings()[name]:
            found += names.dead_settings(text)
            found += names.dead_paths(text, name.rpartition("/")[0])
            found += names.dead_references(text)
        dead += [(name, each) for each in found]
    assert dead == []


PLANTED = """# A page

See [there](#a-page), [this](#no-heading), [a file](concepts.md), [no file](nowhere.md), [the
limits](../../BUILD_NOTES.md#limits), [no limits](../../BUILD_NOTES.md#no-limits),
[`X`][hmar_keras.layers.ReZero] and [`Y`][hmar_keras.layers.NoLayer].

Train with `--set dim=8`, `--set no_setting=8`, `loss=bce`, `no_loss=bce` or `--no-option`, and look
into `kernels.py`, `no_kernels.py`, `pipelines/tuning` and `pipelines/no_package`.

```bash
python benchmarks/soak.py --no-option-of-soak
hmar train --seed 1  # --not-seen
```
"""


def test_names_that_do_not_exist_are_found():
    lines = names.shell_lines(PLANTED)
    assert names.dead_options(lines) == ["--no-option-of-soak", "--no-option"]
    assert names.dead_settings(PLANTED) == ["no_setting", "no_loss"]
    assert names.dead_paths(PLANTED) == ["no_kernels.py", "pipelines/no_package"]
    found = names.dead_links(PLANTED, "docs/pages/page.md")
    assert found == ["#no-heading", "nowhere.md", "../../BUILD_NOTES.md#no-limits"]
    assert names.dead_references(PLANTED) == ["hmar_keras.layers.NoLayer"]
    message = "it cannot be read; give --no-option, or --seed, to hmar nothing or hmar train."
    assert names.dead_in_string(message) == ["nothing", "--no-option"]
    assert names.dead_mentions("# docs/pages/no.md or docs/pages/data.md") == ["docs/pages/no.md"]


def test_commands_with_other_options_are_found():
    assert list(commands("`hmar train --no-option`")) == [["train", "--no-option"]]
    with pytest.raises(AssertionError, match="--no-option"):
        test_commands_exist_with_these_options("a page", ["train", "--no-option"])
    with pytest.raises(AssertionError, match="nothing"):
        test_commands_exist_with_these_options("a page", ["nothing"])
