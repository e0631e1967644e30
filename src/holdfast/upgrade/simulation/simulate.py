"""What an upgrade would take at another size: time, money, storage, and what searches meet.

Times come from a sample of the user's own gallery (`probe.py`), waiting from the models in
`queueing.py`, money from the user's own table (`price.py`). What is assumed beyond that is
listed in `ASSUMED`, and printed with the answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..plan import Plan
from ..price import ModelPrice, Prices, cost, stored
from .probe import Measured
from .queueing import Load, Times, Works, backfill_seconds, search_load

SIZES = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)

ASSUMED = (
    "An item costs what it cost on the sample, whatever the size; so does a batch.",
    "Workers on other machines do not slow each other down; threads here do, as measured.",
    "Storage is vectors, payloads and 140 bytes of links for each row of a graph, on both sides.",
    "A search of all rows takes time by their number, one in a graph by its logarithm.",
    "A search of both sides takes 1.05 times as long, in graphs 1.8 times (bench.mixed_search).",
    "While both sides are read a query is encoded twice.",
    "Searches have their cores to themselves.",
    "Graphs are built beside the backfill, by a server, and are not counted.",
)

_LINKS = 140  # bytes of a graph's links, a row: 16 links and as many at the bottom
# Time of a mixed search over one of a single store, asked one by one, as people do.
_MIXED = {True: 1.05, False: 1.8}
_LEAST = 20_000  # rows below which a graph is no faster than a scan


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user says about the world.

    Args:
        searches: A second, at a steady rate.
        searchers: Searches answered at once.
        requests_per_second: That the provider of the model lets through.
        losses_per_hour: Deaths of a worker.
        restart: Seconds until another is in its place.
        months: For which storage is paid.
    """

    searches: float = 0.0
    searchers: int = 1
    requests_per_second: float | None = None
    losses_per_hour: float = 0.0
    restart: float = 60.0
    months: float = 1.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """One size.

    Args:
        items: The size.
        seconds: Of the backfill.
        bound: What it waits for most: "model", "engine", "provider" or "rate".
        money: For the model; None where no price is known.
        storage: Bytes while both sides are kept.
        after: Bytes when the old side was given up.
        rent: For the storage, in the asked months; None where no price is known.
        before: What searches meet before.
        during: What they meet at worst while both sides are read.
    """

    items: int
    seconds: float
    bound: str
    money: float | None
    storage: int
    after: int
    rent: float | None
    before: Load
    during: Load

    def to_json(self) -> dict[str, Any]:
        """A JSON object; what never ends is null."""
        told = asdict(self)
        for side in ("before", "during"):
            told[side] = {k: v if math.isfinite(v) else None for k, v in told[side].items()}
        return told


def simulate(
    measured: Measured,
    plan: Plan,
    asked: Asked,
    prices: Prices,
    model: str,
    sizes: Sequence[int] = SIZES,
) -> list[Outlook]:
    """Play a plan through at each size.

    Args:
        measured: From the sample.
        plan: As configured.
        asked: About the world.
        prices: The user's table.
        model: Name of the new space, for the table.
        sizes: Numbers of items.
    """
    price = prices.of(model)
    times, works = times_of(measured), works_of(measured, plan, asked, price)
    outlooks = []
    for items in sizes:
        both, new = _bytes(items, measured)
        rent = prices.storage.per_gb_month
        outlooks.append(
            Outlook(
                items,
                backfill_seconds(items, times, works, plan.seed),
                _bound(times, works, plan),
                cost(items, measured.length, price, prices.currency).money,
                both,
                new,
                None if rent is None else rent * both / 1e9 * asked.months,
                _load(items, measured, asked, 1.0),
                _load(items, measured, asked, _MIXED[measured.exact]),
            )
        )
    return outlooks


def times_of(measured: Measured) -> Times:
    """Of engine and workers, with all of them at it."""
    times, slower = measured.times, measured.slower
    return replace(
        times,
        encode_fixed=slower * times.encode_fixed,
        encode_each=slower * times.encode_each,
    )


def works_of(measured: Measured, plan: Plan, asked: Asked, price: ModelPrice) -> Works:
    """Workers, the size to which batches grow, and the narrowest limit."""
    away = plan.executor == "ray"
    workers = plan.actors if away else plan.workers
    rates = [plan.rate] if plan.rate else []
    if price.items_per_minute:
        rates.append(price.items_per_minute / 60.0)
    if price.tokens_per_minute and measured.length:
        rates.append(price.tokens_per_minute / 60.0 / measured.length * price.characters_per_token)
    return Works(
        workers,
        grown(measured.times, plan),
        inline=workers == 1 and not away,
        requests_per_second=asked.requests_per_second,
        items_per_second=min(rates, default=None),
        losses_per_hour=asked.losses_per_hour,
        restart=asked.restart,
    )


def grown(times: Times, plan: Plan) -> int:
    """Items in a batch once it has grown: as long as twice as many are a fiftieth faster."""
    size, most = plan.batch_size, max(plan.batch_size, plan.max_batch_size)

    def rate(items: int) -> float:
        return items / max(times.encode(items) + times.engine(items), 1e-12)

    while size < most and rate(min(2 * size, most)) > 1.02 * rate(size):
        size = min(2 * size, most)
    return size


def _bound(times: Times, works: Works, plan: Plan) -> str:
    items = works.batch
    encode, engine = times.encode(items) / works.workers, times.engine(items)
    spacing = works.spacing(items)
    if spacing > max(encode, engine):
        own = plan.rate and works.items_per_second == plan.rate
        return "rate" if own else "provider"
    return "model" if encode >= engine else "engine"


def _bytes(items: int, measured: Measured) -> tuple[int, int]:
    """While both sides are kept, and afterwards."""
    each = measured.payload + (0 if measured.exact else _LINKS)
    sides = [stored(items, dim) + round(items * each) for dim in measured.dims]
    return sum(sides), sides[1]


def _load(items: int, measured: Measured, asked: Asked, factor: float) -> Load:
    if measured.exact:
        growth = items / max(measured.items, 1)
    else:
        growth = max(1.0, math.log(items) / math.log(max(measured.items, _LEAST)))
    encodings = 2 if factor > 1.0 else 1
    seconds = factor * growth * measured.search + encodings * measured.ask
    return search_load(asked.searches, seconds, asked.searchers)
