"""What an assessment and its upgrade cost, queries included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import UpgradeError
from ..price import ModelPrice, Prices, affordable, characters, cost, stored
from .scope import Scope
from .survey import Survey


def within(budget: float, asked: Sequence[Any], length: float | None, price: ModelPrice) -> int:
    """How many items a budget pays for once it has paid for the queries.

    Args:
        budget: In the currency of the prices.
        asked: Contents of the queries.
        length: Mean characters of an item.
        price: Of the new model.
    Raises:
        ConfigError: The price is not known.
        UpgradeError: The queries alone cost more.
    """
    left = budget - (cost(len(asked), characters(asked), price).money or 0.0)
    if left <= 0.0:
        raise UpgradeError(
            "assess --budget",
            "more than the queries cost",
            f"{budget:g} for {len(asked):,} queries",
            "Allow more, or judge fewer queries.",
        )
    return affordable(left, length, price)


def planned(scope: Scope, length: float | None, price: ModelPrice, currency: str) -> dict[str, Any]:
    """Costs of the sample with its queries, and of the whole gallery, before either is paid."""
    both = scope.size + len(scope.judgements)
    return {
        "cost": cost(both, _mean(length, scope), price, currency).to_json(),
        "whole": cost(scope.items, length, price, currency).to_json(),
    }


def bill(survey: Survey, model: str, dim: int, prices: Prices) -> dict[str, Any]:
    """Costs of what was asked for, of the rest and of the whole gallery, and of storing it.

    Args:
        survey: What was gathered.
        model: Name of the new space.
        dim: Of the new space.
        prices: The table.
    """
    price, scope = prices.of(model), survey.scope
    size, monthly = stored(scope.items, dim), prices.storage.per_gb_month
    counts = {
        "sample": (survey.paid, _mean(survey.length, scope)),
        "rest": (scope.items - scope.kept, survey.length),
        "whole": (scope.items, survey.length),
    }
    told = {
        name: cost(count, length, price, prices.currency, survey.rate).to_json()
        for name, (count, length) in counts.items()
    }
    return {
        **told,
        "bytes": size,
        "storage_month": None if monthly is None else monthly * size / 1e9,
        "currency": prices.currency,
    }


def _mean(length: float | None, scope: Scope) -> float | None:
    """Mean characters of the sample and the queries together; None where some are not text."""
    asked = characters(scope.asked)
    if length is None or asked is None:
        return None
    items, queries = scope.size, len(scope.judgements)
    return (items * length + queries * asked) / (items + queries)
