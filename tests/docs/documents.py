"""The Markdown of the repository, and what is in it."""

import re
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_BLOCK = re.compile(r"(?:<!-- not run: ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$", re.M | re.S)
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_ENDS = {"&&", "&", "|", ";", ">"}


def documents():
    """All that people read, by name."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    return {name: (ROOT / name).read_text() for name in names if name and "/templates/" not in name}


def code_blocks(text, language):
    """The fenced blocks of a language, each with why it is not run, None if it is."""
    return [
        (code, reason or None) for reason, found, code in _BLOCK.findall(text) if found == language
    ]


def prose(text):
    """A document without its fenced blocks."""
    return _BLOCK.sub("", text)


def spans(text):
    """The code in the sentences of a document or a docstring, each on one line."""
    return [" ".join(code.split()) for code in _INLINE.findall(prose(text))]


def commands(text):
    """The arguments of every `hmar` command that a text names, in blocks and in sentences."""
    blocks = [code.replace("\\\n", " ") for code, _ in code_blocks(text, "bash")]
    lines = [line for block in blocks for line in block.split("\n")]
    lines += spans(text)
    lines += re.findall(r"^ {4,}(hmar .*)", prose(text), re.M)  # an example in a docstring
    for line in lines:
        if not re.search(r"\bhmar [a-z-]", line):
            continue
        words = shlex.split(line, comments=True)
        while "hmar" in words:
            words = words[words.index("hmar") + 1 :]
            end = next((at for at, word in enumerate(words) if word in _ENDS), len(words))
            if end:
                yield words[:end]
            words = words[end:]
