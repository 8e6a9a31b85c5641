"""A simulated shop, the dataset that needs no download. This is exactly what is simulated.

**Catalogue.** Items are on shelves; a shelf is one category in one style (a brand, a price tier).
Popularity follows a Zipf-Mandelbrot law, with ranks spread over the shelves at random. Each item
has a *similar* item on the same shelf (the links of a shelf form a loop) and three *complements*,
of decreasing strength and not always distinct, on the shelf with the same style in the one category
that goes with its own. Some categories are consumable.

**Shoppers.** A user has a style and three favourite categories. Both drift: now and then a category
is replaced, more rarely the style. The number of visits is log-normal, so history lengths are
heavy-tailed. Customers keep coming at least until they have bought three to five times or the log
ends; a few passers-by visit once or twice.

**Visits.** A user visits at most once a day, most often in the evening, with exponential gaps
between visits and seconds to minutes between events. On a visit, the user

1. browses one category, that of the last visit or another favourite: views follow the links
   between similar items or pick from the shelf by popularity;
2. often has a *goal* and browses its category instead: a complement of the last purchase, or an
   item to the user's taste. A goal is viewed again, favourited and put in the cart far more often
   than other items. It is bought at once or up to six visits later, among newer views;
3. may look again at an item that will be bought on the next visit, and put it in the cart then;
4. may buy, with one click and no view, a complement or an item to the user's taste; a complement
   may also be added to any purchase on the spot;
5. may buy a consumable again some visits after its purchase.

A cart is abandoned unless its item was a goal and the visit planned for it takes place.

**Invariants of every log**: a favourite or cart event follows a view of the same item by the same
user; times strictly increase within a user; every user has at least one event; the log depends only
on the configuration (including `seed`), not on how it is cut into chunks.

**What can be learned**: goals, from the kind and number of the behaviours on them; one-click
purchases, from complements and taste; restocking, from purchases; views, from links. Recency alone
explains part of it.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

BEHAVIORS = ("view", "favorite", "cart", "buy")
TARGET = "buy"
VIEW, FAVORITE, CART, BUY = range(1, len(BEHAVIORS) + 1)

_USERS_PER_BLOCK = 4096  # simulated and seeded together; changing it changes every log
_DAY = 24 * 60 * 60
_MEAN_GAP = 10.0  # days between visits, beyond the first, for all but frequent visitors
_NOTHING = -1  # stands for no item
_CATEGORY_CHOICE = np.array([0.6, 0.3, 0.1])  # among a user's favourite categories
_COMPLEMENT_CHOICE = np.array([0.6, 0.25, 0.15])
_PASSER_BY = 0.04
_LOYALTY = (3, 6)  # purchases before a customer may leave: at least 3, fewer than 6
_ZIPF_SHIFT = 10.0  # flattens the head of the popularity law
_CONSUMABLE_SHARE = 0.3  # of the categories

_MAX_PAGES = 10  # views in one stretch of browsing
_MEAN_PAGES = 4.7
_SAME_CATEGORY = 0.6  # browses the category of the last visit again
_FOLLOW_LINK = 0.4  # the next view is the similar item
_OTHER_STYLE = 0.25  # a pick from a shelf of another style
_GOAL = 0.55  # a visit has a goal
# Chances that a viewed item is favourited or put in the cart: (another item, the goal).
_FAVORITE_CHANCE = np.array([0.04, 0.35])
_CART_CHANCE = np.array([0.09, 0.75])
_VIEW_GOAL_AGAIN = 0.35
_REVISIT = 0.12  # one visit early, looks again at an item to buy on the next
_CART_ON_REVISIT = 0.5
# Chances that a goal is bought 0, 1, ... visits after it was first viewed.
_DELAY = np.array([0.04, 0.1, 0.18, 0.23, 0.2, 0.15, 0.1])
_RESTOCK_VISITS = (3, 8)  # a consumable lasts at least 3 and fewer than 8 visits
_BUNDLE = 0.08  # a complement is added to a purchase on the spot
_AGENDA = 8  # how many visits ahead a purchase can be planned; more than any delay above
_MINIMA = {"num_users": 1, "num_categories": 2, "num_styles": 1, "num_days": 30, "median_visits": 1}


@dataclasses.dataclass(frozen=True)
class ShopConfig:
    """Size and parameters of a simulated shop; an invalid argument raises `ValueError`.

    Args:
        num_users: Users, with ids `0 .. num_users - 1`.
        num_items: Items, with ids `0 .. num_items - 1`; at least two per shelf.
        num_categories: Categories, at least two.
        num_styles: Styles; there are `num_categories * num_styles` shelves.
        median_visits: Median number of visits before a user may leave.
        visits_spread: Standard deviation of the logarithm of that number.
        num_days: Length of the log in days; later visits are not recorded.
        start_time: Unix time, in seconds, of the first day's midnight.
        zipf_exponent: Steepness of item popularity; 0 makes all items equally popular.
        complement_rate: Share of complements among goals and one-click purchases.
        one_click_rate: Chance that a visit has a one-click purchase.
        restock_rate: Chance that a purchased consumable will be bought again.
        taste_drift: Chance that a visit replaces a favourite category.
        seed: Seed of all random numbers.
    """

    num_users: int
    num_items: int
    num_categories: int
    num_styles: int = 4
    median_visits: float = 5.5
    visits_spread: float = 0.7
    num_days: int = 365
    start_time: int = 1_704_067_200  # 2024-01-01, UTC
    zipf_exponent: float = 0.9
    complement_rate: float = 0.6
    one_click_rate: float = 0.28
    restock_rate: float = 0.5
    taste_drift: float = 0.05
    seed: int = 0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int and not isinstance(value, int | np.integer):
                raise ValueError(f"{field.name} must be an integer, got {value!r}.")
            minimum = _MINIMA.get(field.name, 0)
            if not minimum <= value < np.inf:
                raise ValueError(f"{field.name} must be at least {minimum}, got {value}.")
            if field.name.endswith(("_rate", "_drift")) and value > 1:
                raise ValueError(f"{field.name} must lie in [0, 1], got {value}.")
        if self.num_items < 2 * self.num_shelves:
            shelves = f"{self.num_categories} * {self.num_styles} shelves"
            raise ValueError(f"num_items must be at least 2 for each of {shelves}.")

    @property
    def num_shelves(self) -> int:
        """Number of pairs of a category and a style."""
        return self.num_categories * self.num_styles


CONFIGS = {
    "tiny": ShopConfig(num_users=200, num_items=100, num_categories=5, median_visits=4),
    "small": ShopConfig(num_users=2_000, num_items=1_000, num_categories=16),
    "medium": ShopConfig(num_users=10_000, num_items=10_000, num_categories=125),
    "million": ShopConfig(num_users=20_000, num_items=20_000, num_categories=250),
}


@dataclasses.dataclass(frozen=True)
class ShopLog:
    """Events ordered by user, then by time: four arrays `[events]`.

    Attributes:
        users: int64 user ids, from 0.
        items: int64 item ids, from 0.
        behavior_ids: int32 positions in `BEHAVIORS`, from 1.
        timestamps: int64 Unix seconds.
    """

    users: np.ndarray
    items: np.ndarray
    behavior_ids: np.ndarray
    timestamps: np.ndarray


def simulate(config: ShopConfig) -> ShopLog:
    """Simulates the whole log at once."""
    return next(simulate_chunks(config, blocks_per_chunk=config.num_users))


def simulate_chunks(config: ShopConfig, blocks_per_chunk: int = 1) -> Iterator[ShopLog]:
    """Simulates the log chunk by chunk; all events of a user are in one chunk.

    Args:
        config: The shop.
        blocks_per_chunk: Blocks of 4,096 users per chunk. Bounds memory; does not affect events.
    """
    if blocks_per_chunk < 1:
        raise ValueError(f"blocks_per_chunk must be at least 1, got {blocks_per_chunk}.")
    catalogue = Catalogue(config)
    firsts = range(0, config.num_users, _USERS_PER_BLOCK)
    for start in range(0, len(firsts), blocks_per_chunk):
        chunk = firsts[start : start + blocks_per_chunk]
        blocks = [_simulate_block(config, catalogue, first) for first in chunk]
        yield ShopLog(*map(np.concatenate, zip(*blocks, strict=True)))


def _generator(config: ShopConfig, stream: int) -> np.random.Generator:
    """Returns the generator of a stream: 0 for the catalogue, `b + 1` for users of block `b`."""
    return np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(stream,)))


class Catalogue:
    """The items for sale, and how they are related.

    Internally, items are numbered shelf by shelf ("places"); `ids` shuffles them into item ids, so
    that an id says nothing about its item.

    Attributes:
        ids: Item id of each place.
        shelves: Shelf of each place, `category * num_styles + style`, ascending.
        similar: Place of the similar item.
        complements: Places of the complements, `[num_items, 3]`, strongest first.
        consumable: Whether the item is consumable, so that it may be bought again.
    """

    def __init__(self, config: ShopConfig):
        rng = _generator(config, 0)
        num_items, num_shelves = config.num_items, config.num_shelves
        places = np.arange(num_items)
        self.ids = rng.permutation(num_items)
        self.shelves = places * num_shelves // num_items
        self._first = np.searchsorted(self.shelves, np.arange(num_shelves + 1))
        ranks = 1 + rng.permutation(num_items)
        weights = (ranks + _ZIPF_SHIFT) ** -config.zipf_exponent
        self._mass_before = np.concatenate([[0.0], np.cumsum(weights)])

        last_on_shelf = places + 1 == self._first[self.shelves + 1]
        self.similar = np.where(last_on_shelf, self._first[self.shelves], places + 1)
        order = rng.permutation(config.num_categories)
        goes_with = np.empty_like(order)
        goes_with[order] = np.roll(order, 1)
        category, style = np.divmod(self.shelves, config.num_styles)
        matching = goes_with[category] * config.num_styles + style
        choices = len(_COMPLEMENT_CHOICE)
        self.complements = self.pick(rng, np.repeat(matching, choices)).reshape(-1, choices)
        self.consumable = (rng.random(config.num_categories) < _CONSUMABLE_SHARE)[category]

    def pick(self, rng: np.random.Generator, shelves: np.ndarray) -> np.ndarray:
        """Draws one place from each given shelf, by popularity."""
        first, end = self._first[shelves], self._first[shelves + 1]
        low, high = self._mass_before[first], self._mass_before[end]
        mass = low + (high - low) * rng.random(len(shelves))
        return np.clip(np.searchsorted(self._mass_before, mass, side="right") - 1, first, end - 1)

    def pick_shelves(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draws shelves, by the total popularity of their items."""
        mass = self._mass_before[-1] * rng.random(size)
        return self.shelves[np.searchsorted(self._mass_before, mass, side="right") - 1]

    def pick_complements(self, rng: np.random.Generator, places: np.ndarray) -> np.ndarray:
        """Draws a complement of each place, by strength; for `_NOTHING` an arbitrary one."""
        return self.complements[places, _choose(rng, _COMPLEMENT_CHOICE, len(places))]


def _choose(rng: np.random.Generator, chances: np.ndarray, size: int) -> np.ndarray:
    """Draws indices into `chances`, which sum to 1."""
    return np.searchsorted(np.cumsum(chances)[:-1], rng.random(size), side="right")


def _simulate_block(config: ShopConfig, catalogue: Catalogue, first_user: int):
    """Returns the `ShopLog` fields of one block, simulated visit by visit for all its users."""
    rng = _generator(config, 1 + first_user // _USERS_PER_BLOCK)
    block = _Block(config, catalogue, rng, min(_USERS_PER_BLOCK, config.num_users - first_user))
    pieces = []
    for visit in range(config.num_days):
        present = block.present(visit)
        if not len(present):
            break
        pieces.append(_Visit(block, present, visit).events())
    users, places, behavior_ids, times = map(np.concatenate, zip(*pieces, strict=True))
    by_user = np.argsort(users, kind="stable")  # times already ascend within a user
    return (
        (first_user + users[by_user]).astype(np.int64),
        catalogue.ids[places[by_user]].astype(np.int64),
        behavior_ids[by_user].astype(np.int32),
        (config.start_time + times[by_user]).astype(np.int64),
    )


class _Block:
    """The state of a block of users between visits; the first axis of every array is users."""

    def __init__(self, config, catalogue, rng, size):
        self.config, self.catalogue, self.rng = config, catalogue, rng
        visits = config.median_visits * np.exp(config.visits_spread * rng.normal(size=size))
        self.visits = np.clip(visits, 1, config.num_days / 2).astype(int)
        self.to_buy = rng.integers(*_LOYALTY, size)  # purchases left before the user may leave
        passing = rng.random(size) < _PASSER_BY
        self.visits[passing] = rng.integers(1, 3, passing.sum())
        self.to_buy[passing] = 0
        # Frequent visitors come at shorter intervals, so that their visits fit into the log.
        self.mean_gap = np.minimum(config.num_days / 2 / self.visits - 1, _MEAN_GAP)
        self.day = rng.integers(0, config.num_days // 3, size)
        shelves = catalogue.pick_shelves(rng, size * len(_CATEGORY_CHOICE))
        self.categories = (shelves // config.num_styles).reshape(size, len(_CATEGORY_CHOICE))
        self.style = rng.integers(0, config.num_styles, size)
        self.mood = _choose(rng, _CATEGORY_CHOICE, size)  # index into `categories`
        self.last_bought = np.full(size, _NOTHING)
        self.agenda = np.full((size, _AGENDA), _NOTHING)  # what to buy on visit `v`, at `v % 8`

    def present(self, visit):
        """Returns the users who make their visit number `visit`, from 0."""
        staying = (visit < self.visits) | (self.to_buy > 0)
        return np.flatnonzero(staying & (self.day < self.config.num_days))


class _Visit:
    """One visit of each user present: a table of events `[present, columns]`, built by column."""

    def __init__(self, block: _Block, present: np.ndarray, visit: int):
        self.block, self.present, self.visit, self._columns = block, present, visit, []
        self.catalogue, self.rng, self.config = block.catalogue, block.rng, block.config
        self._change_mind()
        planned = block.agenda[present, visit % _AGENDA]
        block.agenda[present, visit % _AGENDA] = _NOTHING
        self._browse()
        self._revisit()
        self._buy(planned >= 0, planned)
        self._buy(self._chance(self.config.one_click_rate), self._wish())

    def events(self):
        """Returns the users, places, behaviours and times of the events, in order for each user."""
        block, rng, size = self.block, self.rng, len(self.present)
        columns = zip(*self._columns, strict=True)
        happened, places, behavior_ids = (np.stack(part, axis=1) for part in columns)
        hour = 6 + 18 * rng.beta(3.0, 2.0, size)  # 6 in the morning to midnight, mostly evening
        pause = 1 + np.minimum(rng.exponential(45.0, happened.shape), 300).astype(int)
        arrival = block.day[self.present] * _DAY + (hour * 3600).astype(int)
        times = arrival[:, None] + np.cumsum(pause * happened, axis=1)
        block.day[self.present] += 1 + rng.exponential(block.mean_gap[self.present]).astype(int)
        users = np.broadcast_to(self.present[:, None], happened.shape)
        return users[happened], places[happened], behavior_ids[happened], times[happened]

    def _chance(self, probability):
        return self.rng.random(len(self.present)) < probability

    def _record(self, happened, places, behavior_id):
        self._columns.append((happened, places, np.full(len(places), behavior_id)))

    def _change_mind(self):
        block, rng, present = self.block, self.rng, self.present
        drifting = present[self._chance(self.config.taste_drift)]
        shelves = self.catalogue.pick_shelves(rng, len(drifting))
        slot = rng.integers(0, len(_CATEGORY_CHOICE), len(drifting))
        block.categories[drifting, slot] = shelves // self.config.num_styles
        moving = present[self._chance(self.config.taste_drift / 4)]
        block.style[moving] = rng.integers(0, self.config.num_styles, len(moving))
        another = present[~self._chance(_SAME_CATEGORY)]
        block.mood[another] = _choose(rng, _CATEGORY_CHOICE, len(another))

    def _favored_shelf(self):
        block, present = self.block, self.present
        category = block.categories[present, block.mood[present]]
        return category * self.config.num_styles + block.style[present]

    def _wish(self):
        """Draws a complement of the last purchase, or an item to the user's taste."""
        last = self.block.last_bought[self.present]
        complement = self.catalogue.pick_complements(self.rng, last)
        to_taste = self.catalogue.pick(self.rng, self._favored_shelf())
        wanted = (last >= 0) & self._chance(self.config.complement_rate)
        return np.where(wanted, complement, to_taste)

    def _browse(self):
        """Views a stretch of items, including the goal; buys the goal or plans its purchase."""
        rng, size = self.rng, len(self.present)
        goal, has_goal = self._wish(), self._chance(_GOAL)
        pages = np.minimum(rng.geometric(1 / _MEAN_PAGES, size), _MAX_PAGES)
        goal_page = np.where(has_goal, (pages * rng.random(size)).astype(int), _NOTHING)
        base = np.where(has_goal, self.catalogue.shelves[goal], self._favored_shelf())
        base -= base % self.config.num_styles
        viewed = self._pick_near(base)
        for page in range(_MAX_PAGES):
            similar = self.catalogue.similar[viewed]
            viewed = np.where(self._chance(_FOLLOW_LINK), similar, self._pick_near(base))
            is_goal = page == goal_page
            viewed = np.where(is_goal, goal, viewed)
            self._record(page < pages, viewed, VIEW)
            for behavior_id, chance in ((FAVORITE, _FAVORITE_CHANCE), (CART, _CART_CHANCE)):
                happened = self._chance(chance[is_goal.astype(int)])
                self._record((page < pages) & happened, viewed, behavior_id)
        self._record(has_goal & self._chance(_VIEW_GOAL_AGAIN), goal, VIEW)
        delay = _choose(rng, _DELAY, size)
        self._buy(has_goal & (delay == 0), goal)
        self._plan(has_goal & (delay > 0), goal, delay)

    def _pick_near(self, base):
        """Picks from the category whose first shelf is `base`, mostly in the user's style."""
        any_style = self.rng.integers(0, self.config.num_styles, len(base))
        style = np.where(self._chance(_OTHER_STYLE), any_style, self.block.style[self.present])
        return self.catalogue.pick(self.rng, base + style)

    def _revisit(self):
        soon = self.block.agenda[self.present, (self.visit + 1) % _AGENDA]
        again = (soon >= 0) & self._chance(_REVISIT)
        self._record(again, soon, VIEW)
        self._record(again & self._chance(_CART_ON_REVISIT), soon, CART)

    def _buy(self, happened, places):
        """Buys the places; may add a complement, and may plan to buy consumables again."""
        joined = happened & self._chance(_BUNDLE)
        complement = self.catalogue.pick_complements(self.rng, places)
        for mask, bought in ((happened, places), (joined, complement)):
            self._record(mask, bought, BUY)
            self.block.last_bought[self.present[mask]] = bought[mask]
            self.block.to_buy[self.present[mask]] -= 1
            again = mask & self.catalogue.consumable[bought]
            delay = self.rng.integers(*_RESTOCK_VISITS, len(bought))
            self._plan(again & self._chance(self.config.restock_rate), bought, delay)

    def _plan(self, wanted, places, delay):
        """Plans purchases `delay` visits ahead, except where the agenda is already taken."""
        slot = (self.visit + delay) % _AGENDA
        chosen = wanted & (self.block.agenda[self.present, slot] == _NOTHING)
        self.block.agenda[self.present[chosen], slot[chosen]] = places[chosen]
