"""What an upgrade costs, from a table that you write; nothing is fetched.

    currency = "USD"                   # any word; figures are in it

    [models.default]                   # or [models."name of the new space"]
    per_million_tokens = 0.02          # or: per_thousand_items = 0.05; 0 for your own machine
    tokens_per_minute = 1_000_000      # limits of the provider; and, or, items_per_minute
    characters_per_token = 4.0

    [storage]
    per_gb_month = 0.25

A price that is not in the table is unknown, and is said to be; it is never taken for zero.
Tokens are estimated from the characters of the sampled items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import ConfigError, said
from ..items import Content
from ..settings import config_error, json_of, toml_of

DEFAULT = "default"
_FLOAT = 4  # bytes


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ModelPrice(_Strict):
    """Of one model.

    Args:
        per_million_tokens: Price of a million tokens.
        per_thousand_items: Price of a thousand items; with the other one, both are due.
        tokens_per_minute: Limit of the provider.
        items_per_minute: Likewise.
        characters_per_token: For the estimate of tokens.
    """

    per_million_tokens: float | None = Field(default=None, ge=0.0)
    per_thousand_items: float | None = Field(default=None, ge=0.0)
    tokens_per_minute: float | None = Field(default=None, gt=0.0)
    items_per_minute: float | None = Field(default=None, gt=0.0)
    characters_per_token: float = Field(default=4.0, gt=0.0)

    @property
    def known(self) -> bool:
        """Whether it says what anything costs."""
        return self.per_million_tokens is not None or self.per_thousand_items is not None


class Storage(_Strict):
    """Of kept vectors."""

    per_gb_month: float | None = Field(default=None, ge=0.0)


class Prices(_Strict):
    """The whole table."""

    currency: str = ""
    models: Mapping[str, ModelPrice] = Field(default_factory=dict)
    storage: Storage = Storage()

    @model_validator(mode="after")
    def _names_money(self) -> Prices:
        if self.models and not self.currency:
            raise ValueError("a table with prices needs a currency")
        return self

    def of(self, space: str) -> ModelPrice:
        """The price of a model by the name of its space, else the default one, else unknown."""
        return self.models.get(space) or self.models.get(DEFAULT) or ModelPrice()


def read_prices(path: Path) -> Prices:
    """Read a table, TOML or JSON.

    Raises:
        ConfigError: Not there, not readable, an unknown setting, or a value that cannot be.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = json_of(text) if path.suffix == ".json" else toml_of(text)
    except (OSError, ValueError) as cause:
        raise ConfigError(str(path), "a table of prices, TOML or JSON", said(cause)) from cause
    try:
        return Prices.model_validate(_wide(data))
    except ValidationError as error:
        raise config_error(path.name, error) from error


def _wide(data: Any) -> Any:
    """Whole numbers as numbers: people write 2 where they mean 2.0."""
    if isinstance(data, dict):
        return {key: _wide(value) for key, value in data.items()}
    return float(data) if isinstance(data, int) and not isinstance(data, bool) else data


@dataclass(frozen=True, slots=True)
class Cost:
    """What embedding some items takes.

    Args:
        items: How many.
        tokens: Estimated; None where contents are not text.
        money: In `currency`; None where no price is known.
        currency: Of the table.
        seconds: The longest of the provider's limits and the speed seen on the sample; None
            where neither is known.
        note: What is not known.
    """

    items: int
    tokens: int | None
    money: float | None
    currency: str
    seconds: float | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}


def characters(contents: Sequence[Content]) -> float | None:
    """Mean characters of an item; None where one is not text."""
    if not contents or not all(isinstance(content, str) for content in contents):
        return None
    return sum(map(len, contents)) / len(contents)


def cost(
    items: int,
    length: float | None,
    price: ModelPrice,
    currency: str = "",
    rate: float | None = None,
) -> Cost:
    """What it takes to embed items.

    Args:
        items: How many.
        length: Mean characters of an item, see `characters`.
        price: Of the model.
        currency: Of the table.
        rate: Items a second that the model was seen to embed.
    Example:
        >>> cost(1_000, 400.0, ModelPrice(per_million_tokens=2.0), "EUR").money
        0.2
    """
    tokens = None if length is None else items * length / price.characters_per_token
    money: float | None = None
    note = "" if price.known else "the price of this model is unknown: write a table of prices"
    if price.per_thousand_items is not None:
        money = items / 1e3 * price.per_thousand_items
    if price.per_million_tokens is not None:
        if tokens is None:
            money, note = None, "priced by tokens, and these items are not text"
        else:
            money = (money or 0.0) + tokens / 1e6 * price.per_million_tokens
    waits = [items / rate] if rate else []
    if price.items_per_minute:
        waits.append(60.0 * items / price.items_per_minute)
    if price.tokens_per_minute and tokens is not None:
        waits.append(60.0 * tokens / price.tokens_per_minute)
    whole = None if tokens is None else round(tokens)
    return Cost(items, whole, money, currency, max(waits, default=None), note)


def affordable(budget: float, length: float | None, price: ModelPrice) -> int:
    """How many items a budget pays for.

    Raises:
        ConfigError: The price is not known.
    """
    each = cost(1, length, price).money
    if each is None:
        raise ConfigError(
            "assess --budget",
            "a known price",
            "a model without one",
            "Write a table of prices: --prices, see docs/how-to/decide-first.md.",
        )
    return 2**62 if each == 0.0 else int(budget / each + 1e-9)


def stored(items: int, dim: int) -> int:
    """Bytes of vectors; indexes and payloads come on top."""
    return items * dim * _FLOAT
