"""The repository's Markdown files and their contents."""

import re
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_BLOCK = re.compile(r"(?:<!-- not run: ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$", re.M | re.S)
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_ENDS = {"&&", "&", "|", ";", ">"}


def documents():
    """Returns the text of every document that people read, by path."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    return {name: (ROOT / name).read_text() for name in names if name and "/templates/" not in name}


def code_blocks(text, language):
    """Returns the fenced blocks of a language, each with the reason not to run it, or None."""
    return [
        (code, reason or None) for reason, found, code in _BLOCK.findall(text) if found == language
    ]


def prose(text):
    """Returns a document without its fenced blocks."""
    return _BLOCK.sub("", text)


def spans(text):
    """Returns the inline code of a document or docstring, each span on one line."""
    return [" ".join(code.split()) for code in _INLINE.findall(prose(text))]


def commands(text):
    """Yields the arguments of every `hmar` command in a text, in blocks and in sentences."""
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
