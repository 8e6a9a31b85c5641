"""The Markdown of the repository, and what is in it."""

import re
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_BLOCK = re.compile(r"(?:<!-- not run: ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$", re.M | re.S)
_INLINE = re.compile(r"`([^`]+)`")
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


def commands(text):
    """The arguments of every `hmar` command that a document names, in blocks and in sentences."""
    lines = [
        line
        for block, _ in code_blocks(text, "bash")
        for line in block.replace("\\\n", " ").split("\n")
    ]
    prose = _BLOCK.sub("", text)
    lines += [" ".join(code.split()) for code in _INLINE.findall(prose)]
    for line in lines:
        if not re.search(r"\bhmar [a-z]", line):
            continue
        words = shlex.split(line, comments=True)
        while "hmar" in words:
            words = words[words.index("hmar") + 1 :]
            end = next((at for at, word in enumerate(words) if word in _ENDS), len(words))
            if end:
                yield words[:end]
            words = words[end:]
