"""What a log is like, in one line for each trait."""

from __future__ import annotations

from pipelines.description.numbers import compact
from pipelines.protocol.log_traits import ENOUGH, NO_TIMES, RARE, UNKNOWN_UNIT, LogTraits


def trait_lines(traits: LogTraits) -> dict[str, str]:
    """Returns what `hmar data describe` and the commands that train print, by short names.

    Names of behaviours come from the log and may hold control characters.

    Args:
        traits: the result of `log_traits`.
    """
    return {
        "returns": _returns(traits),
        "no returns": _no_returns(traits),
        "times": _times(traits),
        "items": (
            f"{compact(traits.users_per_item)} users in the median; "
            f"{traits.items_under_5_users:.1%} have fewer than 5, "
            f"{traits.items_under_20_users:.1%} fewer than 20"
        ),
        "histories": (
            f"{compact(traits.median_length)} events in the median; 90% have at most "
            f"{compact(traits.long_length)}, the longest has {traits.longest:,}"
        ),
        "leads": _leads(traits),
    }


def percent(share: float | None) -> str:
    """Formats a share, e.g. `12.5%`; a dash if there is none."""
    return "-" if share is None else f"{share:.1%}"


def _returns(traits):
    if traits.new_items is None:
        return f"no {traits.target} events"
    parts = []
    for name, back in traits.returning.items():
        chance = "" if back.times_chance is None else f" ({compact(back.times_chance)}x chance)"
        parts.append(f"{name} {percent(back.share)}{chance}")
    untouched = f"{percent(traits.new_items)} of {traits.target} events are on untouched items"
    return f"{untouched}; by the strongest behaviour before: {', '.join(parts)}"


def _no_returns(traits):
    unsure = [name for name, back in traits.returning.items() if back.asked < ENOUGH]
    parts = []
    if traits.never_returns:
        rare = f"fewer than 1 in {RARE:,} {traits.target} events are on such an item"
        parts.append(f"after {', '.join(traits.never_returns)}: {rare}")
    if unsure:
        parts.append(f"too few events to tell after {', '.join(unsure)}")
    return "; ".join(parts) or "items can come back after every behaviour"


def _times(traits):
    if traits.times == NO_TIMES:
        return "all equal"
    kind = "in an unknown unit" if traits.times == UNKNOWN_UNIT else f"exact to the {traits.times}"
    return f"{kind}; {percent(traits.ties)} of events share theirs with another of the same user"


def _leads(traits):
    if not traits.leading:
        return f"no behaviour but {traits.target}"
    followed, preceding = (
        ", ".join(f"{name} {percent(getattr(each, part))}" for name, each in traits.leading.items())
        for part in ("followed", "preceding")
    )
    target = traits.target
    return f"items followed by {target}: {followed}; {target} events preceded by: {preceding}"
