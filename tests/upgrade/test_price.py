"""Costs, by hand."""

import json

import pytest

from holdfast.errors import ConfigError
from holdfast.upgrade.price import (
    ModelPrice,
    affordable,
    characters,
    cost,
    read_prices,
    stored,
)

TABLE = """
currency = "EUR"
[models.default]
per_million_tokens = 2
[models."big@1"]
per_thousand_items = 0.5
items_per_minute = 600
[storage]
per_gb_month = 0.25
"""


def test_a_table_names_models_and_a_default(tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text(TABLE)
    prices = read_prices(path)
    assert prices.of("anything").per_million_tokens == 2.0
    assert prices.of("big@1").per_thousand_items == 0.5
    assert prices.storage.per_gb_month == 0.25
    as_json = tmp_path / "prices.json"
    as_json.write_text(json.dumps({"currency": "EUR", "models": {"x": {"per_million_tokens": 1}}}))
    assert read_prices(as_json).of("x").per_million_tokens == 1.0
    assert not read_prices(as_json).of("y").known


@pytest.mark.parametrize(
    "bad",
    [
        "curency = 'EUR'",
        "[models.default]\nper_million_tokens = 1.0",  # in what?
        "currency='EUR'\n[models.default]\nper_million_tokens = -1.0",
        "not toml",
    ],
)
def test_a_table_that_cannot_be_is_refused(tmp_path, bad):
    path = tmp_path / "prices.toml"
    path.write_text(bad)
    with pytest.raises(ConfigError):
        read_prices(path)


def test_costs_by_hand():
    tokens = ModelPrice(per_million_tokens=2.0, tokens_per_minute=6_000.0)
    told = cost(1_000, 400.0, tokens, "EUR")
    assert (told.tokens, told.money, told.seconds) == (100_000, 0.2, 1_000.0)
    items = ModelPrice(per_thousand_items=0.5, items_per_minute=600.0)
    told = cost(3_000, None, items, "EUR", rate=5.0)
    assert (told.tokens, told.money, told.seconds) == (None, 1.5, 600.0)  # the rate is slower
    assert cost(3_000, None, items, rate=1_000.0).seconds == 300.0  # the limit is
    both = ModelPrice(per_thousand_items=0.5, per_million_tokens=2.0)
    assert cost(1_000, 400.0, both).money == pytest.approx(0.7)
    assert stored(1_000, 384) == 1_536_000


def test_what_is_not_known_is_said_and_never_zero():
    told = cost(1_000, 400.0, ModelPrice())
    assert told.money is None
    assert "unknown" in told.note
    told = cost(1_000, None, ModelPrice(per_million_tokens=2.0))
    assert told.money is None
    assert "not text" in told.note
    assert told.seconds is None


def test_a_budget_buys_whole_items_and_needs_a_price():
    assert affordable(1.0, 400.0, ModelPrice(per_thousand_items=10.0)) == 100
    assert affordable(1.0, 400.0, ModelPrice(per_million_tokens=1_000.0)) == 10
    assert affordable(1.0, 400.0, ModelPrice(per_thousand_items=0.0)) > 10**12
    with pytest.raises(ConfigError, match="known price"):
        affordable(1.0, 400.0, ModelPrice())


def test_characters_of_texts_only():
    assert characters(["ab", "abcd"]) == 3.0
    assert characters(["ab", b"x"]) is None
    assert characters([]) is None
