"""Histories as text."""

import pytest

from pipelines.cli.history_text import format_history, parse_history
from pipelines.runtime.errors import InputError

NAMES = ("view", "cart", "buy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("i3", "item:behaviour"),
        ("i3:", "unknown behaviour"),
        (":view", "item:behaviour"),
        ("i3:stare", "view, cart, buy"),
        ("", "item:behaviour"),
        ("i3:view,,", "item:behaviour"),
    ],
)
def test_a_history_that_is_none_is_an_error(text, message):
    with pytest.raises(InputError, match=message):
        parse_history(text, NAMES)


def test_item_names_may_hold_colons():
    assert parse_history("urn:item:7:view", NAMES) == [("urn:item:7", "view")]
    names = ("cart", "add:cart")
    assert parse_history("a:b:add:cart,c:cart", names) == [("a:b", "add:cart"), ("c", "cart")]


@pytest.mark.parametrize(
    "history",
    [
        [("12", "view"), ("7", "buy")],
        [("c,d", "view")],
        [(" lead", "view"), ("trail ", "cart")],
        [("[odd]", "view")],
        [("it's", "buy"), ('"q"', "view")],
        [("a:b", "view")],
    ],
)
def test_any_history_can_be_written_and_read(history):
    assert parse_history(format_history(history), NAMES) == history


@pytest.mark.parametrize("text", ["[", "[]", "[1]", '[["a"]]', '[["a", 1]]', '{"a": "view"}'])
def test_a_history_that_is_no_list_of_pairs(text):
    with pytest.raises(InputError, match=r"list of pairs|unknown behaviour"):
        parse_history(text, NAMES)
