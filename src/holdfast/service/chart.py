"""Charts of the dashboard as SVG: classes instead of styles, since the page allows no inline ones.

`plots.py` draws the same curve for reports, by matplotlib; these are small enough to be drawn
again with every event, and take their colours from the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..report.markup import Html, element
from .tempo import WINDOW

_WIDE, _HIGH = 460.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 12.0, 14.0, 30.0
_LEAST = 0.02  # of a metric that the chart spans at least


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a share, with its interval."""

    share: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """What the chart of quality shows.

    Args:
        metric: Its spelling.
        measured: Points, shares rising.
        forecast: Likewise; empty where nothing was forecast.
        share: Where the upgrade stands; None where that says nothing.
    """

    metric: str
    measured: Sequence[Point]
    forecast: Sequence[Point] = field(default_factory=tuple)
    share: float | None = None

    def told(self) -> str:
        """The chart in words, for those who do not see it."""
        parts = [f"{point.value:.3f} at {100.0 * point.share:.3g} %" for point in self.measured]
        words = f"Chart of {self.metric} against the share of the gallery in the new space"
        if parts:
            words += f", measured: {', '.join(parts)}"
        if self.forecast:
            first, last = self.forecast[0], self.forecast[-1]
            words += f"; forecast from {first.value:.3f} to {last.value:.3f}"
        return f"{words}."


def quality(curve: Curve) -> Html:
    """The metric against the share: measured with intervals, and the forecast with its band."""
    points = [*curve.measured, *curve.forecast]
    low = min(point.low for point in points)
    high = max(point.high for point in points)
    room = max(high - low, _LEAST) * 0.08
    scale = _Scale(low - room, high + room)
    parts = [*_axes(scale)]
    if curve.forecast:
        parts += [
            _band(scale, curve.forecast, "forecast"),
            _line(scale, curve.forecast, "forecast"),
        ]
    if curve.measured:
        first = curve.measured[0]
        y = scale.y(first.value)
        if first.share == 0.0:
            parts.append(_segment(_LEFT, y, _WIDE - _RIGHT, y, "base"))
        parts += [
            _band(scale, curve.measured, "measured"),
            _line(scale, curve.measured, "measured"),
        ]
        parts += [_dot(scale, point) for point in curve.measured]
    if curve.share is not None:
        x = scale.x(curve.share)
        parts.append(_segment(x, _TOP, x, _HIGH - _BOTTOM, "here"))
    return _svg(_WIDE, _HIGH, curve.told(), *parts)


class _Scale:
    """Places a share and a value on the drawing."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def x(self, share: float) -> float:
        return _LEFT + share * (_WIDE - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        part = (value - self.low) / (self.high - self.low)
        return _HIGH - _BOTTOM - part * (_HIGH - _TOP - _BOTTOM)


def _axes(scale: _Scale) -> list[Html]:
    found = []
    for tick in ticks(scale.low, scale.high):
        y = scale.y(tick)
        found.append(_segment(_LEFT, y, _WIDE - _RIGHT, y, "grid"))
        found.append(_text(_LEFT - 8, y + 4, f"{tick:.2f}".rstrip("0").rstrip("."), "end"))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        anchor = {0.0: "start", 1.0: "end"}.get(share, "middle")
        found.append(_text(scale.x(share), _HIGH - 8, f"{100 * share:g} %", anchor))
    return found


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between two ends, three to six of them.

    Example:
        >>> ticks(0.43, 0.71)
        [0.5, 0.6, 0.7]
    """
    for step in (0.5, 0.25, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001):
        first, last = -int(-low // step) if low < 0 else int(-(-low // step)), int(high // step)
        if last - first >= 2:
            return [round(step * at, 6) for at in range(first, last + 1)]
    return [round(low, 6), round(high, 6)]


def _line(scale: _Scale, points: Sequence[Point], name: str) -> Html:
    places = " ".join(_pair(scale.x(p.share), scale.y(p.value)) for p in points)
    return element("polyline", points=places, class_=f"line {name}")


def _band(scale: _Scale, points: Sequence[Point], name: str) -> Html:
    if len(points) == 1:
        point = points[0]
        x = scale.x(point.share)
        return _segment(x, scale.y(point.low), x, scale.y(point.high), f"whisker {name}")
    upper = [_pair(scale.x(p.share), scale.y(p.high)) for p in points]
    lower = [_pair(scale.x(p.share), scale.y(p.low)) for p in reversed(points)]
    return element("polygon", points=" ".join([*upper, *lower]), class_=f"band {name}")


def _dot(scale: _Scale, point: Point) -> Html:
    ends = f"interval {point.low:.3f} to {point.high:.3f}"
    told = f"{100 * point.share:.3g} %: {point.value:.3f}, {ends}"
    place = {"cx": _short(scale.x(point.share)), "cy": _short(scale.y(point.value))}
    return element("circle", element("title", told), r="3.4", class_="dot", **place)


def spark(pieces: Sequence[tuple[float, float]], most: float) -> Html:
    """How long searches took through the window, as a small line.

    Args:
        pieces: (seconds before now, seconds taken), oldest first.
        most: Top of the scale, in seconds.
    """
    wide, high = 200.0, 40.0
    top = most or 1.0
    places = [
        (wide - 2 - age / WINDOW * (wide - 4), high - 3 - min(took / top, 1.0) * (high - 6))
        for age, took in pieces
    ]
    drawn = [
        element("polyline", points=" ".join(_pair(*p) for p in places), class_="line measured")
    ]
    if places:
        x, y = places[-1]
        drawn.append(element("circle", cx=_short(x), cy=_short(y), r="2.6", class_="dot"))
    return element(
        "svg", *drawn, viewBox=f"0 0 {wide:g} {high:g}", class_="spark", aria_hidden="true"
    )


def bar(shares: Mapping[str, float]) -> Html:
    """A bar cut into named parts; what is left over stays empty.

    Args:
        shares: Class to part of the whole, in order.
    """
    parts, x = [element("rect", x="0", y="0", width="100", height="4", class_="empty")], 0.0
    for name, share in shares.items():
        width = 100.0 * min(max(share, 0.0), 1.0)
        parts.append(
            element("rect", x=_short(x), y="0", width=_short(width), height="4", class_=name)
        )
        x += width
    return element(
        "svg",
        *parts,
        viewBox="0 0 100 4",
        preserveAspectRatio="none",
        class_="bar",
        aria_hidden="true",
    )


def _svg(wide: float, high: float, told: str, *parts: Html) -> Html:
    view = f"0 0 {wide:g} {high:g}"
    return element("svg", *parts, viewBox=view, class_="chart", role="img", aria_label=told)


def _segment(x1: float, y1: float, x2: float, y2: float, name: str) -> Html:
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return element("line", class_=name, **{key: _short(at) for key, at in ends.items()})


def _text(x: float, y: float, words: str, anchor: str) -> Html:
    return element("text", words, x=_short(x), y=_short(y), text_anchor=anchor)


def _pair(x: float, y: float) -> str:
    return f"{_short(x)},{_short(y)}"


def _short(number: float) -> str:
    return f"{number:.1f}".rstrip("0").rstrip(".")
