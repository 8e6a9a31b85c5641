"""An HTML page, parsed with the standard library, for tests to inspect."""

import dataclasses
from html.parser import HTMLParser

VOID = {"meta", "br", "img", "link", "hr", "input"}


@dataclasses.dataclass
class Element:
    """A tag with its attributes and the text within it."""

    tag: str
    attributes: dict
    text: str = ""


class HTMLPage(HTMLParser):
    """All elements of a page, in order; raises if tags do not match.

    Args:
        text: the HTML.
    """

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        self.close()
        assert not self._open, [element.tag for element in self._open]

    def all(self, tag):
        """Returns all elements of a tag."""
        return [element for element in self.elements if element.tag == tag]

    def table(self, start):
        """Returns the cell texts, by row, of the first table whose caption begins with `start`."""
        tables = [i for i, element in enumerate(self.elements) if element.tag == "table"]
        for place in tables:
            rows = []
            for element in self.elements[place + 1 :]:
                if element.tag == "table":
                    break
                if element.tag == "caption" and not element.text.strip().startswith(start):
                    break
                if element.tag == "tr":
                    rows.append([])
                if element.tag in ("th", "td"):
                    rows[-1].append(" ".join(element.text.split()))
            else:
                return rows
            if rows:
                return rows
        raise AssertionError(f"no table {start}")

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs)), (tag, attrs)
        element = Element(tag, dict(attrs))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open, tag
        assert self._open.pop().tag == tag

    def handle_data(self, data):
        for element in self._open:
            element.text += data
