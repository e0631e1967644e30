"""What items cost, from a table of prices, if one was given."""

from __future__ import annotations

import sqlite3

from ..errors import HoldfastError
from ..items import Content
from ..upgrade.price import Cost, Prices, characters, cost
from .steward import Steward

_PEEK = 64  # items whose length is looked at


class Expense:
    """Prices items by their mean length, which is looked at once for each space.

    Args:
        steward: Has the gallery.
        prices: The table; an empty one knows no price.
    """

    def __init__(self, steward: Steward, prices: Prices) -> None:
        self._steward, self._prices = steward, prices
        self._lengths: dict[str, float | None] = {}

    def of(self, items: int, space: str) -> Cost:
        """What it takes to embed some items by the model of a space."""
        price = self._prices.of(space)
        if not price.known:
            return Cost(items, None, None, self._prices.currency, None)
        if self._lengths.get(space) is None:
            self._lengths[space] = self._length()
        return cost(items, self._lengths[space], price, self._prices.currency)

    def _length(self) -> float | None:
        try:
            with self._steward.using() as gallery:
                source = self._steward.project.content(gallery.old.store)
                contents: list[Content] = [i.content for i in source.scan(limit=_PEEK).items]
        except (HoldfastError, OSError, sqlite3.Error):
            return None  # the source is away: cost is not worth a failure
        return characters(contents)
