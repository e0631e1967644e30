"""Numbers as people write them: a share of the gallery, or of the traffic, and an amount."""

from __future__ import annotations

import math
from typing import Any

import click


class Amount(click.FloatRange):
    """A finite number in a range; click's own lets NaN pass, which is in none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


def read_share(context: click.Context, option: click.Parameter, text: str | None) -> float | None:
    """The share in (0, 1] of "30%" or "0.3"; a bare 30 is refused: nobody knows what it means.

    None, for an option that was not given, is given back.

    Raises:
        BadParameter: Anything else.
    """
    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        share = -1.0
    if not 0.0 < share <= 1.0:
        raise click.BadParameter(
            f"expected a share such as 30% or 0.3, got {text!r}.", context, option
        )
    return share


def percent(share: float) -> str:
    """For people; what is less than all is not called 100 %.

    Example:
        >>> percent(0.3), percent(0.30042), percent(0.999999)
        ('30 %', '30.04 %', '99.99 %')
    """
    shown = round(100.0 * share, 2)
    return f"{min(shown, 99.99) if share < 1.0 else shown:g} %"
