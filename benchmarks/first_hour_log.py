"""Writes a made-up log like that of docs/pages/first_hour.md: a shop whose customers come back.

    python -m benchmarks.first_hour_log events.csv

In a visit, a customer looks at products of a favourite category, often ones from earlier visits,
puts some in the cart and buys some of these. A purchase may bring an accessory along, which the
customer has not looked at before. Nothing in the project is fitted to this log.
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Iterator

CUSTOMERS, CATEGORIES, PRODUCTS = 3_000, 20, 40  # products per category
_START = 1_760_000_000


def events(seed: int = 0) -> Iterator[tuple[str, str, str, int]]:
    """Yields the customer, product, behaviour and time of each event, customer by customer.

    Args:
        seed: random seed.
    """
    draw = random.Random(seed)
    interest = [1 / rank for rank in range(1, PRODUCTS + 1)]
    convincing = [draw.betavariate(2, 3) for _ in range(CATEGORIES * PRODUCTS)]
    for customer in range(CUSTOMERS):
        favourites = draw.sample(range(CATEGORIES), 2)
        known: list[int] = []
        time = _START + draw.randrange(200 * 86_400)
        for _ in range(1 + min(int(draw.expovariate(1 / 3)), 20)):
            time += draw.randrange(3_600, 20 * 86_400)
            category = draw.choice(favourites) if draw.random() < 0.85 else None
            for product, behavior in _visit(draw, category, known, interest, convincing):
                time += draw.randrange(5, 300)
                yield f"C{customer:04}", _name(product), behavior, time


def _visit(draw, category, known, interest, convincing):
    """Yields products and behaviours of one visit, and adds the products to the known ones."""
    category = draw.randrange(CATEGORIES) if category is None else category
    cart = []
    for _ in range(draw.randint(1, 4)):
        if known and draw.random() < 0.4:
            product = draw.choice(known)
        else:
            product = category * PRODUCTS + draw.choices(range(PRODUCTS), interest)[0]
        yield product, "view"
        if draw.random() < 0.12:
            yield product, "favourite"
        if draw.random() < convincing[product]:
            yield product, "cart"
            cart.append(product)
        known.append(product)
    for product in cart:
        if draw.random() < 0.7:
            yield product, "buy"
            if draw.random() < 0.25:
                accessory = (product + PRODUCTS) % (CATEGORIES * PRODUCTS)
                yield accessory, "buy"
                known.append(accessory)


def _name(product):
    return f"SKU-{product // PRODUCTS:02}-{product % PRODUCTS:03}"


def main() -> None:
    """Writes the log to the file that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("name the file to write: python -m benchmarks.first_hour_log events.csv")
    with open(sys.argv[1], "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "item_id", "event", "timestamp"])
        rows.writerows(events())


if __name__ == "__main__":
    main()
