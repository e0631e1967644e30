"""Numbers to figures, as SVG; computes nothing.

matplotlib is imported when the first figure is drawn, without pyplot, so no window, no
backend and no figure of the caller's is touched. A figure has no background and takes its
colours from CSS that it carries along: dark on light paper, light on a dark page. Lines
differ by their strokes as well, for print in black and white. The same numbers give the
same bytes.
"""

from __future__ import annotations

import io
import math
import re
import threading
from collections.abc import Mapping
from html import escape
from types import MappingProxyType
from typing import Any, TypeAlias

from .errors import InvalidInput
from .measure.curve import Curve
from .measure.interval import Interval
from .optional import need

Points: TypeAlias = Mapping[float, Interval]

# What matplotlib is told -> the name of the colour in CSS. Only these are ever drawn with.
_INK, _CURVE, _GRID = "#010203", "#040506", "#070809"
_NAMES = MappingProxyType({_INK: "--plot-ink", _CURVE: "--plot-curve", _GRID: "--plot-grid"})
_CSS = (
    ".holdfast-plot{--plot-ink:#24292f;--plot-curve:#0a5fb4;--plot-grid:#d0d7de;"
    "stroke-linejoin:round;stroke-linecap:butt}"
    "@media screen and (prefers-color-scheme:dark){"
    ".holdfast-plot{--plot-ink:#dde3ea;--plot-curve:#6cb6ff;--plot-grid:#3d444d}}"
)
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_SETTINGS = MappingProxyType(
    {
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.family": ["sans-serif"],
        "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so sizes are the same
        "font.size": 12.0,
        "svg.fonttype": "none",
        "svg.hashsalt": "holdfast",
        "text.parse_math": False,  # names are names, whatever characters they have
        "text.color": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
    }
)
# Inches of 72 points; wide enough for a page, legible on a phone.
_WIDE, _TITLE, _AXES, _SHARES, _ROW = 6.4, 0.35, 2.6, 0.75, 0.24
_DRAWING = threading.Lock()  # matplotlib's settings belong to the process


def quality_curve(
    measured: Curve | Points,
    old: float | None = None,
    new: float | None = None,
    *,
    metric: str = "",
    start: str = "old/old",
) -> str:
    """A metric against the share of the gallery that is in the new space.

    Args:
        measured: A curve, or the intervals at some shares in [0, 1], of which the ends may
            not have been measured yet.
        old: Where the line of the old system lies; by default the point at share 0, if any.
        new: Likewise for the new system and share 1.
        metric: Its spelling, where `measured` is not a curve, which knows.
        start: The cell at share 0, for its name.
    Returns:
        One `<svg>` element that refers to nothing outside of itself.
    Raises:
        InvalidInput: No point, a share outside [0, 1], or a number that is not finite.
        MissingExtra: matplotlib is not installed.
    Example:
        >>> half = Interval(0.5, 0.4, 0.6, 0.95, 100)
        >>> quality_curve({0.0: half, 1.0: half}, metric="R@10")[:4]
        '<svg'
    """
    gain: Interval | None = None
    if isinstance(measured, Curve):
        points = dict(zip(measured.shares, measured.points, strict=True))
        metric = measured.metric
        # Of a curve that falls it would be a part of the loss.
        gain = measured.gain if measured.values[-1] > measured.values[0] else None
    else:
        points = dict(sorted(measured.items()))
    old = points[0.0].value if old is None and 0.0 in points else old
    new = points[1.0].value if new is None and 1.0 in points else new
    _check(points, old, new)
    return _svg(_draw, _told(metric, points), (metric, points, gain, old, new, start))


def forecast_curve(
    forecast: Points,
    band: Mapping[float, tuple[float, float]],
    measured: Points | None = None,
    *,
    metric: str = "",
) -> str:
    """A forecast against the share in the new space, and what was measured since.

    Args:
        forecast: The forecast at some shares in [0, 1].
        band: At the same shares, where the measured value is to be expected.
        measured: What was measured, if anything.
        metric: Its spelling.
    Returns:
        One `<svg>` element that refers to nothing outside of itself.
    Raises:
        InvalidInput: No point, a share outside [0, 1], a number that is not finite, or a band
            at other shares.
        MissingExtra: matplotlib is not installed.
    """
    _check(forecast, None, None)
    if list(band) != list(forecast) or not all(
        math.isfinite(x) for ends in band.values() for x in ends
    ):
        raise InvalidInput(
            "forecast_curve", "a finite band at the shares of the forecast", str(band)
        )
    if measured:
        _check(measured, None, None)
    told = _told(metric, forecast).replace("chart of", "chart of the forecast of")
    return _svg(_draw_forecast, told, (metric, forecast, band, measured or {}))


def _draw_forecast(axes: Any, args: tuple[Any, ...]) -> None:
    metric, forecast, band, measured = args
    shares = [100.0 * share for share in forecast]
    values = [point.value for point in forecast.values()]
    lows, highs = ([ends[at] for ends in band.values()] for at in (0, 1))
    axes.plot(shares, values, "--", color=_CURVE, lw=2.2, zorder=3, label=f"{metric} forecast")
    axes.fill_between(
        shares, lows, highs, color=_CURVE, alpha=0.2, linewidth=0.0, label="to be expected"
    )
    if measured:
        there = [100.0 * share for share in measured]
        found = [point.value for point in measured.values()]
        axes.plot(there, found, "o", color=_INK, ms=5.0, zorder=4, label=f"{metric} measured")
    _axes(axes)
    axes.set_title(_title(metric, forecast, None), fontsize=12.0, x=-0.09, ha="left")
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.2), ncols=2, frameon=False)


def _axes(axes: Any) -> None:
    axes.set_xlim(-2.0, 102.0)
    axes.set_xticks(range(0, 101, 20), [f"{tick} %" for tick in range(0, 101, 20)])
    axes.set_xlabel("share of the gallery in the new space")
    axes.grid(axis="y", color=_GRID, lw=0.6)
    axes.set_axisbelow(True)


def _check(points: Points, old: float | None, new: float | None) -> None:
    numbers = [x for point in points.values() for x in (point.value, point.low, point.high)]
    numbers += [x for x in (old, new) if x is not None]
    if not points or not all(0.0 <= share <= 1.0 for share in points):
        raise InvalidInput(
            "quality_curve", "points at shares in [0, 1], at least one", str(list(points))
        )
    if not all(math.isfinite(x) for x in numbers):
        raise InvalidInput("quality_curve", "finite numbers", str(numbers))


def _draw(axes: Any, args: tuple[Any, ...]) -> None:
    metric, points, gain, old, new, start = args
    shares = [100.0 * share for share in points]
    band = [[point.low for point in points.values()], [point.high for point in points.values()]]
    values = [point.value for point in points.values()]
    level = f"{100.0 * next(iter(points.values())).level:g} % interval"
    line = {"color": _CURVE, "lw": 2.2, "ms": 5.0, "zorder": 3}
    axes.plot(shares, values, "o-", label=f"{metric} measured", **line)
    axes.fill_between(shares, *band, color=_CURVE, alpha=0.2, linewidth=0.0, label=level)
    if old is not None and new is not None:
        axes.plot([0.0, 100.0], [old, new], ":", color=_INK, lw=1.3, label="straight line")
    for value, name, stroke in ((new, "new/new", "-."), (old, start, "--")):
        if value is not None:
            axes.axhline(value, color=_INK, ls=stroke, lw=1.3, label=f"{name} {value:.3f}")
    _axes(axes)
    axes.set_title(_title(metric, points, gain), fontsize=12.0, x=-0.09, ha="left")
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.2), ncols=2, frameon=False)


def _title(metric: str, points: Points, gain: Interval | None) -> str:
    counts = sorted({point.n for point in points.values()})
    queries = " to ".join(f"{n:,}" for n in dict.fromkeys((counts[0], counts[-1])))
    words = f"{metric}, {queries} {'query' if queries == '1' else 'queries'}"
    if gain is None:
        return words
    return f"{words}, area gain {gain.value:.2f} [{gain.low:.2f}, {gain.high:.2f}]"


def _told(metric: str, points: Points) -> str:
    """The figure in words, for those who do not see it."""
    told = [f"{point.value:.3f} at {100.0 * share:.3g} %" for share, point in points.items()]
    return (
        f"Line chart of {metric} against the share of the gallery in the new space: "
        f"{', '.join(told)}."
    )


def _svg(draw: Any, told: str, args: tuple[Any, ...]) -> str:
    """Set up a figure, draw on it, and write it as one element."""
    matplotlib, figures, styles = (
        need(name) for name in ("matplotlib", "matplotlib.figure", "matplotlib.style")
    )
    out = io.StringIO()
    with _DRAWING, styles.context("default"), matplotlib.rc_context(dict(_SETTINGS)):
        figure = figures.Figure(figsize=(_WIDE, _TITLE + _AXES + _SHARES))
        axes = figure.subplots()
        draw(axes, args)
        rows = math.ceil(len(axes.get_legend().get_texts()) / 2)
        high = _TITLE + _AXES + _SHARES + rows * _ROW
        figure.set_size_inches(_WIDE, high)
        figure.subplots_adjust(
            left=0.1, right=0.96, top=1.0 - _TITLE / high, bottom=1.0 - (_TITLE + _AXES) / high
        )
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    return _inline(out.getvalue(), told)


def _inline(text: str, told: str) -> str:
    """Ready to stand in a page: no prologue, sized by the page, coloured by CSS."""
    body = text[text.index("<svg") :]
    view = re.search(r'viewBox="[^"]*"', body)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'class="holdfast-plot" role="img" aria-label="{escape(told)}" '
        f"{view.group() if view else ''}>"
    )
    body = head + body[body.index(">") + 1 :]
    body = re.sub(r"<style[^>]*>.*?</style>", f"<style>{_CSS}</style>", body, flags=re.S)
    body = re.sub(r'<g id="[^"]*">', "<g>", body)  # would clash where a page has two figures
    for told_colour, name in _NAMES.items():
        body = body.replace(told_colour, f"var({name})")
    return re.sub(r"'DejaVu Sans'[^;\"]*", _FONT, body).rstrip() + "\n"
