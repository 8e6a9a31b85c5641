"""A planted fault: one realistic mistake in one file."""

import dataclasses
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Fault:
    """A mistake that gives wrong results, and the tests that should notice.

    Args:
        name: names the fault on the command line and in the table.
        area: the part of the package that it damages.
        file: relative to the root of the repository.
        old: text of code that occurs exactly once in `file`.
        new: what replaces it.
        likely: quick test files or node ids that probably fail.
        marker: of likely tests that the quick suite leaves out; empty if there are none.
    """

    name: str
    area: str
    file: str
    old: str
    new: str
    likely: tuple[str, ...]
    marker: str = ""

    def damaged(self, root: Path = ROOT) -> str:
        """Returns the text of the file with the fault in it.

        Raises:
            ValueError: if `old` does not occur exactly once in the file.
        """
        text = (root / self.file).read_text(encoding="utf-8")
        count = text.count(self.old)
        if count != 1:
            raise ValueError(
                f"{self.name}: {self.file} has {self.old!r} {count} times instead of once; "
                "update the fault."
            )
        return text.replace(self.old, self.new)
