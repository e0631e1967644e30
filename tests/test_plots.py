"""Figures: every number lies where it belongs, in SVG that needs nothing and never changes."""

from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from holdfast.errors import InvalidInput, MissingExtra
from holdfast.measure.curve import Curve
from holdfast.measure.interval import Interval
from holdfast.plots import forecast_curve, quality_curve

SHARES = [tenth / 10 for tenth in range(11)]


@pytest.fixture(scope="module")
def curve():
    hard = np.random.default_rng(3).random(120)
    table = [(hard < 0.445 + 0.265 * share**0.7).astype(float) for share in SHARES]
    return Curve.of("R@10", SHARES, table)


def tag(element):
    return element.tag.partition("}")[2]


def path(svg, *styles):
    """Corners of the first path that has all of these styles, as an (n, 2) array."""
    for element in ElementTree.fromstring(svg).iter():
        style = element.get("style", "")
        if tag(element) == "path" and all(one in style for one in styles):
            numbers = [float(x) for x in re.findall(r"-?\d+\.?\d*", element.get("d"))]
            return np.array(numbers).reshape(-1, 2)
    raise LookupError(styles)


def band(svg):
    """Corners of the band, which matplotlib defines in one place and uses in another."""
    root = ElementTree.fromstring(svg)
    use = next(e for e in root.iter() if tag(e) == "use" and "opacity" in e.get("style", ""))
    name = use.get("{http://www.w3.org/1999/xlink}href").removeprefix("#")
    shape = next(e for e in root.iter() if e.get("id") == name).get("d")
    corners = np.array(re.findall(r"-?\d+\.?\d*", shape), dtype=float).reshape(-1, 2)
    return corners + np.array([float(use.get("x")), float(use.get("y"))])


def strokes(svg):
    """Heights of the horizontal lines drawn with each dash pattern."""
    found = {}
    for element in ElementTree.fromstring(svg).iter():
        dashes = re.search(r"stroke-dasharray: ([\d.,]+)", element.get("style", ""))
        if tag(element) == "path" and dashes:
            numbers = [float(x) for x in re.findall(r"-?\d+\.?\d*", element.get("d"))]
            found.setdefault(dashes.group(1), numbers)
    return list(found.values())


def words(svg):
    return [e.text for e in ElementTree.fromstring(svg).iter() if tag(e) == "text"]


def test_points_and_band_lie_where_the_numbers_say(curve):
    svg = quality_curve(curve)
    drawn = path(svg, "fill: none", "stroke: var(--plot-curve)", "stroke-width: 2.2")
    assert len(drawn) == len(SHARES)
    # two points fix the scales, the other nine must agree with them
    right = (drawn[-1, 0] - drawn[0, 0]) * np.array(SHARES) + drawn[0, 0]
    up = (drawn[-1, 1] - drawn[0, 1]) / (curve.values[-1] - curve.values[0])
    np.testing.assert_allclose(drawn[:, 0], right, atol=1e-4)
    np.testing.assert_allclose(
        drawn[:, 1], drawn[0, 1] + up * (curve.values - curve.values[0]), atol=1e-4
    )
    assert up < 0, "a higher value is higher on the page"
    corners = band(svg)
    for share, point in zip(SHARES, curve.points, strict=True):
        x = drawn[0, 0] + share * (drawn[-1, 0] - drawn[0, 0])
        heights = corners[np.abs(corners[:, 0] - x) < 1e-3, 1]
        wanted = drawn[0, 1] + up * (np.array([point.low, point.high]) - curve.values[0])
        for height in wanted:
            assert np.abs(heights - height).min() < 1e-3


def test_references_are_level_with_both_ends_or_with_what_is_given(curve):
    svg = quality_curve(curve)
    drawn = path(svg, "fill: none", "stroke: var(--plot-curve)", "stroke-width: 2.2")
    lines = strokes(svg)
    assert [[drawn[0, 0], drawn[0, 1], drawn[-1, 0], drawn[-1, 1]]] == [
        line for line in lines if line[1] != line[3]
    ]
    assert {line[1] for line in lines if line[1] == line[3]} == {drawn[0, 1], drawn[-1, 1]}
    given = quality_curve(curve, old=0.25, new=0.875)
    assert {"old/old 0.250", "new/new 0.875", "straight line"} <= set(words(given))


def test_the_title_and_the_words_for_those_who_do_not_see_it(curve):
    svg = quality_curve(curve)
    gain = curve.gain
    title = f"R@10, 120 queries, area gain {gain.value:.2f} [{gain.low:.2f}, {gain.high:.2f}]"
    assert title in words(svg)
    assert {"0 %", "20 %", "40 %", "60 %", "80 %", "100 %"} <= set(words(svg))
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    for share, point in zip(SHARES, curve.points, strict=True):
        assert f"{point.value:.3f} at {100 * share:g} %" in root.get("aria-label")


def test_a_figure_is_as_high_as_its_legend_needs(curve):
    def height(svg):
        return float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', svg).group(1))

    points = dict(zip(curve.shares, curve.points, strict=True))
    band = {share: (point.low, point.high) for share, point in points.items()}
    forecast, both = forecast_curve(points, band), forecast_curve(points, band, points)
    rows = [1, 2, 3]  # of two entries each: 2, 3 and 5
    heights = [height(svg) for svg in (forecast, both, quality_curve(curve))]
    np.testing.assert_allclose(np.diff(heights), np.diff(rows) * 0.24 * 72.0, atol=1e-3)


def test_a_curve_that_is_not_complete_draws_what_is_known():
    points = {0.3: Interval(0.6, 0.5, 0.7, 0.95, 50), 0.0: Interval(0.5, 0.4, 0.6, 0.95, 50)}
    svg = quality_curve(points, metric="nDCG@10", start="bridged/old")
    told = words(svg)
    assert {"nDCG@10, 50 queries", "bridged/old 0.500", "nDCG@10 measured"} <= set(told)
    assert not [word for word in told if "new/new" in word or "straight" in word]
    assert len(path(svg, "fill: none", "stroke: var(--plot-curve)", "stroke-width: 2.2")) == 2


def test_the_same_numbers_give_the_same_bytes_whatever_the_caller_has_set(curve):
    first = quality_curve(curve)
    with matplotlib.rc_context({"font.size": 30.0, "svg.fonttype": "path", "lines.marker": "x"}):
        before = dict(matplotlib.rcParams)
        assert quality_curve(curve) == first
        assert dict(matplotlib.rcParams) == before


def test_nothing_is_fetched_and_every_colour_follows_the_page(curve):
    svg = quality_curve(curve)
    drawing = re.sub(r"<style>.*?</style>", "", svg)
    assert "prefers-color-scheme:dark" in svg
    colours = set(re.findall(r"(?<![\w-])(?:fill|stroke): ?([^;\"]+)", drawing))
    assert colours == {"none", "var(--plot-ink)", "var(--plot-curve)", "var(--plot-grid)"}
    assert set(re.findall(r"https?://[^\"']+", svg)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not re.findall(r"href=\"(?!#)", svg)
    assert not re.findall(r"<g [^>]*id=", svg)


def test_names_are_names_whatever_their_characters():
    point = {0.0: Interval(0.5, 0.4, 0.6, 0.95, 1)}
    svg = quality_curve(point, metric="$x^2$ <b>&", start="a\"b'")
    assert "$x^2$ <b>&, 1 query" in words(svg)
    assert "a\"b' 0.500" in words(svg)


@pytest.mark.parametrize(
    "points",
    [
        {},
        {1.2: Interval(0.5, 0.4, 0.6, 0.95, 9)},
        {-0.1: Interval(0.5, 0.4, 0.6, 0.95, 9)},
        {0.5: Interval(float("nan"), 0.4, 0.6, 0.95, 9)},
        {0.5: Interval(0.5, 0.4, float("inf"), 0.95, 9)},
    ],
)
def test_points_that_cannot_be_drawn_are_refused(points):
    with pytest.raises(InvalidInput, match="quality_curve: expected"):
        quality_curve(points, metric="R@10")


def test_without_matplotlib_the_error_names_the_extra(monkeypatch, curve):
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"holdfast\[plots\]"):
        quality_curve(curve)


def test_matplotlib_comes_late_and_pyplot_never():
    code = (
        "import sys, holdfast.plots as plots\n"
        "from holdfast.measure.interval import Interval\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plots.quality_curve({0.0: Interval(0.5, 0.4, 0.6, 0.95, 9)}, metric='R@10')\n"
        "assert 'matplotlib.figure' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
