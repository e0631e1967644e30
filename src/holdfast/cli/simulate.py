"""`holdfast plan --simulate`: what an upgrade would take at other sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigError
from .face import Face
from .progress import waiting
from .share import Amount
from .tables import facts, grid

if TYPE_CHECKING:
    from ..upgrade.simulation.probe import Measured
    from ..upgrade.simulation.simulate import Outlook

_SIZES = "1e6,1e7,1e8,1e9"
_OPTIONS = (
    click.option(
        "--sizes", default=_SIZES, show_default=True, metavar="N,N", help="Numbers of items."
    ),
    click.option(
        "--sample",
        type=click.IntRange(min=1),
        default=2_000,
        show_default=True,
        metavar="ITEMS",
        help="To measure with.",
    ),
    click.option(
        "--prices",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Your table of prices and limits.",
    ),
    click.option(
        "--searches",
        type=Amount(min=0.0),
        default=0.0,
        metavar="RATE",
        help="Searches a second, at a steady rate.",
    ),
    click.option(
        "--searchers",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        metavar="N",
        help="Searches answered at once.",
    ),
    click.option(
        "--requests-per-second",
        type=Amount(min=0.0, min_open=True),
        metavar="RATE",
        help="What the provider takes.",
    ),
    click.option(
        "--losses-per-day",
        type=Amount(min=0.0),
        default=0.0,
        metavar="RATE",
        help="Deaths of each worker.",
    ),
    click.option(
        "--restart",
        type=Amount(min=0.0),
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="To replace one.",
    ),
    click.option(
        "--months",
        type=Amount(min=0.0),
        default=1.0,
        show_default=True,
        metavar="N",
        help="Of storage to pay for.",
    ),
)


def simulating(run: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a simulation to a command."""
    for option in reversed(_OPTIONS):
        run = option(run)
    return run


def outlook(
    face: Face,
    sizes: str,
    sample: int,
    prices: Path | None,
    losses_per_day: float,
    **asked: Any,
) -> None:
    """Measure, simulate, print."""
    from ..upgrade.price import Prices, read_prices
    from ..upgrade.simulation.probe import measure
    from ..upgrade.simulation.simulate import ASSUMED, Asked, simulate, works_of

    numbers = _numbers(sizes)
    table = Prices() if prices is None else read_prices(prices)
    world = Asked(losses_per_hour=losses_per_day / 24.0, **asked)
    project = face.project
    with waiting(face, "plan: a sample is upgraded beside the gallery"):
        measured, plan = measure(project, sample), project.config.upgrade
    model = project.new_encoder.space.name
    told = simulate(measured, plan, world, table, model, numbers)
    works = works_of(measured, plan, world, table.of(model))
    data = {
        "measured": asdict(measured),
        "works": asdict(works),
        "asked": asdict(world),
        "currency": table.currency,
        "sizes": [one.to_json() for one in told],
        "assumed": list(ASSUMED),
    }
    face.answer(data, _measured(measured, works.batch), "", _table(told, table.currency))
    face.note("\nAssumed:\n" + "\n".join(f"  {line}" for line in ASSUMED))
    face.note("\nNothing was written. The sample's vectors are gone.")


def _numbers(sizes: str) -> list[int]:
    try:
        numbers = [int(float(word)) for word in sizes.split(",")]
    except (ValueError, OverflowError) as cause:
        raise ConfigError("--sizes", "numbers, such as 1e6,2e8", repr(sizes)) from cause
    if min(numbers) < 1:
        raise ConfigError("--sizes", "numbers of at least 1", repr(sizes))
    return numbers


def _measured(measured: Measured, batch: int) -> str:
    times = measured.times
    each = times.encode(batch) / batch
    rows = [
        ("measured on", f"{measured.sample:,} of {measured.items:,} items"),
        ("model", f"{1.0 / each:,.0f} items a second by one worker, in batches of {batch:,}"),
        ("engine and stores", f"{batch / max(times.engine(batch), 1e-12):,.0f} items a second"),
        ("one search", f"{1e3 * measured.search:.2f} ms, its query {1e3 * measured.ask:.2f} ms"),
    ]
    if measured.slower > 1.0:
        rows.append(("a batch beside others", f"{measured.slower:.2f} times as long"))
    return facts(rows)


def _table(told: list[Outlook], currency: str) -> str:
    header = ("items", "time", "bound by", "model", "storage", "after", "rent", "busy", "p99 ms")
    rows = [
        (
            f"{one.items:,}",
            duration(one.seconds),
            one.bound,
            _money(one.money, currency),
            _size(one.storage),
            _size(one.after),
            _money(one.rent, currency),
            f"{one.before.busy:.0%} to {one.during.busy:.0%}",
            f"{_ms(one.before.p99)} to {_ms(one.during.p99)}",
        )
        for one in told
    ]
    return grid(header, rows)


def duration(seconds: float) -> str:
    """Seconds in words.

    Example:
        >>> [duration(s) for s in (42.0, 5_400.0, 400_000.0)]
        ['42 s', '1.5 h', '4.6 days']
    """
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min" if seconds < 3_600 else f"{seconds / 3600:.1f} h"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def _money(value: float | None, currency: str) -> str:
    from ..report.words import money

    return "unknown" if value is None else money(value, currency)


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count < 1e12 else f"{count / 1e12:,.1f} TB"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}" if math.isfinite(seconds) else "no end"
