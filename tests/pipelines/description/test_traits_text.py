"""The lines that say what a log is like."""

import pytest

from pipelines.description.traits_text import trait_lines
from pipelines.protocol.log_traits import Leading, LogTraits, Returning


def shop(**changes):
    traits = {
        "target": "buy",
        "new_items": 0.25,
        "returning": {
            "view": Returning(0.5, 900, 12.34),
            "cart": Returning(0.25, 600, 1_234.5),
            "buy": Returning(0.0, 800, 0.0),
        },
        "never_returns": ("buy",),
        "times": "minute",
        "ties": 0.0625,
        "users_per_item": 7.5,
        "items_under_5_users": 0.125,
        "items_under_20_users": 0.75,
        "median_length": 30.0,
        "long_length": 120.5,
        "longest": 1_500,
        "leading": {"view": Leading(0.1, 0.75), "cart": Leading(0.3, 0.25)},
    }
    return LogTraits(**traits | changes)


def test_all_lines():
    assert trait_lines(shop()) == {
        "returns": (
            "25.0% of buy events are on untouched items; by the strongest behaviour before: "
            "view 50.0% (12.3x chance), cart 25.0% (1,234x chance), buy 0.0% (0x chance)"
        ),
        "no returns": "after buy: fewer than 1 in 1,000 buy events are on such an item",
        "times": "exact to the minute; 6.2% of events share theirs with another of the same user",
        "items": "7.5 users in the median; 12.5% have fewer than 5, 75.0% fewer than 20",
        "histories": "30 events in the median; 90% have at most 120.5, the longest has 1,500",
        "leads": (
            "items followed by buy: view 10.0%, cart 30.0%; "
            "buy events preceded by: view 75.0%, cart 25.0%"
        ),
    }


@pytest.mark.parametrize(
    ("asked", "never", "text"),
    [
        (300, (), "items can come back after every behaviour"),
        (299, (), "too few events to tell after cart"),
        (
            299,
            ("view", "buy"),
            "after view, buy: fewer than 1 in 1,000 buy events are on such an item; too few events "
            "to tell after cart",
        ),
    ],
)
def test_what_never_returns(asked, never, text):
    returning = {**shop().returning, "cart": Returning(0.0, asked, 1.0)}
    assert trait_lines(shop(returning=returning, never_returns=never))["no returns"] == text


@pytest.mark.parametrize(
    ("times", "ties", "text"),
    [
        ("none", 1.0, "all equal"),
        (
            "unknown",
            0.5,
            "in an unknown unit; 50.0% of events share theirs with another of the same user",
        ),
    ],
)
def test_times(times, ties, text):
    assert trait_lines(shop(times=times, ties=ties))["times"] == text


def test_a_single_behaviour_and_behaviours_without_events():
    lines = trait_lines(shop(leading={}))
    assert lines["leads"] == "no behaviour but buy"
    nothing = Returning(None, 0, None)
    lines = trait_lines(
        shop(
            new_items=None,
            returning={"view": nothing, "buy": nothing},
            never_returns=(),
            leading={"view": Leading(None, None)},
        )
    )
    assert lines["returns"] == "no buy events"
    assert lines["no returns"] == "too few events to tell after view, buy"
    assert lines["leads"] == "items followed by buy: view -; buy events preceded by: view -"
    one_cart = {**shop().returning, "cart": Returning(0.0, 0, None)}
    assert "cart 0.0%, buy" in trait_lines(shop(returning=one_cart))["returns"]
