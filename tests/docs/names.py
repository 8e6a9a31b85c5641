"""Finds names in documents, docstrings and messages that do not exist: options, files and others.

Every `dead_...` function returns the names that lead nowhere, in the order of the text.
"""

import ast
import functools
import re

from typer.main import get_command

from hmar_keras.models import MODELS
from pipelines.cli.app import app
from pipelines.training.run_config import setting_names

from .documents import ROOT, code_blocks, prose, spans

# Options of other programs that stand without the program's name.
OTHER_OPTIONS = {
    "--help": "typer adds it to every command",
    "--profile": "docker compose",
    "--project": "Beam",
    "--region": "Beam",
    "--requests": "benchmarks/serving_load.py",
}
# `name=value` that is no setting: arguments in Python, an equation, a placeholder, and the setting
# of the custom model in docs/pages/own_model.md.
NOT_SETTINGS = {"autocast", "beta_1", "field", "jit_compile", "taste", "use_cudnn"}
# Files that the reader writes.
USERS_FILES = {"FILE.py", "gru.py", "taste.py"}

_PROGRAM = re.compile(
    r"(?:[A-Z_]+=\S* )*(?:python )?([\w./-]+\.py|curl|docker|kubectl|pip|pytest|ruff|tensorboard)\b"
)
# Options with an underscore belong to Beam, TensorFlow Serving and XLA.
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*(?![\w-])")
_SET = re.compile(r"--set[ =]['\"]?(\w+)(?:\.\w+)?=")
_ASSIGNMENT = re.compile(r"([a-z_]\w*)(?:\.\w+)? ?= ?[^\s=]+")
_FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)*\.(?:py|md|toml|ya?ml|sh|config)")
_FOLDER = re.compile(r"(?:benchmarks|deploy|docs|examples|hmar_keras|pipelines|tests)/[\w./-]*")
_MENTIONED = re.compile(rf"(?<![\w./-]){_FOLDER.pattern}\.(?:py|md|yaml)\b")
_COMMAND = re.compile(r"\bhmar ([a-z]+)")
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)
_REFERENCE = re.compile(r"(?:\]\[|::: |`)((?:hmar_keras|pipelines)(?:\.\w+)+)(?=[\]`\s(])")


@functools.cache
def hmar():
    """Returns the command tree."""
    return get_command(app)


@functools.cache
def options():
    """Returns every option of every `hmar` command."""

    def below(command):
        yield command
        for each in getattr(command, "commands", {}).values():
            yield from below(each)

    parameters = [each for command in below(hmar()) for each in command.params]
    return {option for each in parameters for option in (*each.opts, *each.secondary_opts)}


@functools.cache
def settings():
    """Returns every setting of every model and of its training."""
    return {name for model in MODELS for name in setting_names(model)}


def shell_lines(text):
    """Returns the lines of the shell blocks of a document, and the code in its sentences."""
    blocks = "\n".join(code for code, _ in code_blocks(text, "bash")).replace("\\\n", " ")
    return [line.split(" #")[0] for line in blocks.split("\n")] + spans(text)


def dead_options(lines):
    """Returns options that belong neither to an `hmar` command nor to the program of their line.

    That an option belongs to the very command before it is checked with the commands.
    """
    dead = []
    for line in lines:
        program = _PROGRAM.match(line)
        if program and not program[1].endswith(".py"):
            continue
        known = options() if not program else _code_of(program[1])
        found = [each for each in _OPTION.findall(line) if each not in OTHER_OPTIONS]
        dead += [option for option in found if option not in known]
    return dead


def dead_in_string(text):
    """Returns commands and options in a docstring or message that do not exist."""
    if _OPTION.fullmatch(text):  # a variable of CSS, or the declaration of an option
        return []
    dead = [name for name in _COMMAND.findall(text) if name not in hmar().commands]
    return dead + dead_options([*spans(text), re.sub(r"`[^`]+`", "", text)])


def _code_of(path):
    return (ROOT / path).read_text() if (ROOT / path).exists() else ""


def dead_settings(text):
    """Returns names after `--set` and in code like `name=value` that are no setting."""
    matches = [_ASSIGNMENT.fullmatch(span) for span in spans(text)]
    names = _SET.findall(text) + [match[1] for match in matches if match]
    return [name for name in names if name not in settings() | NOT_SETTINGS]


def dead_paths(text, folder=""):
    """Returns files and folders of the repository that are named in code and do not exist.

    Args:
        text: a document or a docstring.
        folder: where it is, from the root.
    """
    words = [span.split()[0] for span in spans(text) if span.split()]
    named = [word for word in words if _FILE.fullmatch(word) or _FOLDER.fullmatch(word)]
    return [path for path in named if not exists(path, folder) and path not in USERS_FILES]


def dead_mentions(code):
    """Returns paths from the root that a Python file names, also in comments, and do not exist."""
    return [path for path in _MENTIONED.findall(code) if not (ROOT / path).exists()]


def exists(path, folder=""):
    """Whether a path is one of the repository, from a usual place or, for a bare name, anywhere."""
    if "/" not in path:
        return path in _file_names()
    places = (ROOT, ROOT / folder, ROOT / "pipelines", ROOT / "hmar_keras", ROOT / "tests")
    return any((place / path).exists() for place in places)


@functools.cache
def _file_names():
    folders = ("benchmarks", "deploy", "docs", "examples", "hmar_keras", "pipelines", "tests")
    inside = {path.name for folder in folders for path in (ROOT / folder).rglob("*.*")}
    return inside | {path.name for path in ROOT.iterdir()}


def dead_links(text, name):
    """Returns relative links of a document to a file or heading that does not exist.

    Args:
        text: the document.
        name: its path from the root.
    """
    dead = []
    for link in _LINK.findall(prose(text)):
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path
        if path and not target.exists():
            dead.append(link)
            continue
        headings = anchors(target.read_text() if path else text) if anchor else [anchor]
        if anchor not in headings:
            dead.append(link)
    return dead


def anchors(text):
    """Returns the anchors of the headings of a document, as GitHub and MkDocs make them."""
    headings = _HEADING.findall(prose(text))
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def dead_references(text):
    """Returns dotted names of this package, in code and in links, that no module has."""
    return [name for name in _REFERENCE.findall(text) if not _is_in_code(name)]


def _is_in_code(name):
    """Whether the module of a dotted name exists and has the words of its rest."""
    path, rest = ROOT, name.split(".")
    while rest and (path / rest[0]).is_dir():
        path = path / rest.pop(0)
    if rest and (path / f"{rest[0]}.py").exists():
        path = path / f"{rest.pop(0)}.py"
    files = [path] if path.is_file() else list(path.glob("*.py"))
    words = set(re.findall(r"\w+", "\n".join(file.read_text() for file in files)))
    return set(rest) <= words


@functools.cache
def python_files():
    """Returns the text of every Python file of the two packages, by its path from the root."""
    paths = [*ROOT.glob("hmar_keras/**/*.py"), *ROOT.glob("pipelines/**/*.py")]
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(paths)}


@functools.cache
def docstrings():
    """Returns the docstrings of each of these files, by its path."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        name: [
            text
            for node in ast.walk(ast.parse(code))
            if isinstance(node, kinds) and (text := ast.get_docstring(node))
        ]
        for name, code in python_files().items()
    }


def strings(code):
    """Returns every string of a Python file: docstrings, messages, help texts."""
    nodes = ast.walk(ast.parse(code))
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
