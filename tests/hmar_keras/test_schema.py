import pytest

from hmar_keras import Behaviors, schema


def test_ids_count_from_one_in_the_order_of_the_names():
    behaviors = Behaviors(["view", "cart", "buy"], target="cart")
    assert behaviors.names == ("view", "cart", "buy")
    assert [behaviors.id_of(name) for name in behaviors.names] == [1, 2, 3]
    assert (len(behaviors), behaviors.target_id) == (3, 2)
    assert schema.PADDING_ID not in map(behaviors.id_of, behaviors.names)
    with pytest.raises(ValueError, match="unknown behaviour 'sell'; the behaviours are view, cart"):
        behaviors.id_of("sell")


def test_equal_and_hashable_by_value():
    one, other = Behaviors(["a", "b"], "b"), Behaviors(("a", "b"), "b")
    assert one == other
    assert len({one, other, Behaviors(("a", "b"), "a")}) == 2


@pytest.mark.parametrize(
    ("names", "target", "message"),
    [
        ("ab", "a", "must be a list of strings, got 'ab'"),
        (None, "buy", "must be a list of strings, got None"),
        ((), "buy", "at least one behaviour"),
        (("view", "view"), "view", "must differ from each other"),
        (("view", ""), "view", "must be non-empty strings, got ''"),
        (("view", " "), "view", "must be non-empty strings, got ' '"),
        (("view", 2), "view", "must be non-empty strings, got 2"),
        (("view", "buy"), "sell", "target behaviour 'sell' is not one of the behaviours view, buy"),
        (("view", "buy"), None, "target behaviour None is not one of"),
    ],
)
def test_wrong_behaviors(names, target, message):
    with pytest.raises(ValueError, match=message):
        Behaviors(names, target)
