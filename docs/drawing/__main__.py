"""Draws the pictures of the documentation: python docs/drawing [DIRECTORY]."""

from __future__ import annotations

import sys
from pathlib import Path

import architecture
import history
import results

PICTURES = {"architecture": architecture.draw, "history": history.draw, "results": results.draw}
PLACE = Path(__file__).resolve().parent.parent / "pages" / "pictures"


def main(directory: Path):
    """Writes every picture to a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        (directory / f"{name}.svg").write_text(str(draw()), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PLACE)
