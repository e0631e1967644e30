"""Charts say what their numbers say."""

import re
import time
from xml.etree import ElementTree

import pytest

from holdfast.report.build import Moment
from holdfast.service import chart
from holdfast.service.answers import answers, excerpt
from holdfast.service.compare import Column, Place
from holdfast.service.panels import head, millis
from holdfast.service.past import history

POINTS = [
    chart.Point(0.0, 0.40, 0.35, 0.45),
    chart.Point(0.5, 0.50, 0.45, 0.55),
    chart.Point(1.0, 0.70, 0.66, 0.74),
]


def parsed(text):
    return ElementTree.fromstring(text)


def places(element):
    return [tuple(map(float, pair.split(","))) for pair in element.get("points").split()]


def test_points_stand_where_their_values_are():
    drawn = parsed(chart.quality(chart.Curve("R@10", POINTS, share=0.5)))
    (line,) = [one for one in drawn.iter("polyline") if one.get("class") == "line measured"]
    (x0, y0), (x1, y1), (x2, y2) = places(line)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    assert (y0 - y1) / (y0 - y2) == pytest.approx((0.5 - 0.4) / (0.7 - 0.4), abs=0.01)
    (here,) = [one for one in drawn.iter("line") if one.get("class") == "here"]
    assert float(here.get("x1")) == pytest.approx(x1, abs=0.11)
    (base,) = [one for one in drawn.iter("line") if one.get("class") == "base"]
    assert float(base.get("y1")) == pytest.approx(y0, abs=0.11)
    (band,) = drawn.iter("polygon")
    upper, lower = places(band)[:3], places(band)[3:][::-1]
    scale = (y0 - y2) / 0.3
    for point, (_, top), (_, low) in zip(POINTS, upper, lower, strict=True):
        assert low - top == pytest.approx((point.high - point.low) * scale, abs=0.3)


def test_a_chart_is_told_in_words_and_has_no_style_of_its_own():
    text = chart.quality(chart.Curve("<R@10>", POINTS, POINTS))
    assert "0.400 at 0 %, 0.500 at 50 %, 0.700 at 100 %" in text
    assert "forecast from 0.400 to 0.700" in text
    assert "<R@10>" not in text
    assert "style" not in text


def test_one_point_and_a_flat_line_can_be_drawn():
    for points in (POINTS[:1], [chart.Point(s, 0.5, 0.5, 0.5) for s in (0.0, 1.0)]):
        drawn = parsed(chart.quality(chart.Curve("R@10", points)))
        heights = [
            float(v) for v in re.findall(r'cy="([^"]+)"', ElementTree.tostring(drawn).decode())
        ]
        assert len(heights) == len(points)
        assert all(0.0 < height < 250.0 for height in heights)


@pytest.mark.parametrize(
    "ends", [(0.0, 1.0), (0.43, 0.71), (0.4999, 0.5201), (-0.2, 0.3), (3.0, 90.0)]
)
def test_ticks_are_round_within_the_ends_and_few(ends):
    low, high = ends
    found = chart.ticks(low, high)
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)
    assert found == sorted(set(found))
    if high <= 1.0:
        assert 3 <= len(found) <= 8


def test_a_bar_is_as_long_as_its_shares():
    drawn = parsed(chart.bar({"moved": 0.25, "aside": 0.5}))
    _, moved, aside = drawn.iter("rect")
    assert (moved.get("x"), moved.get("width")) == ("0", "25")
    assert (aside.get("x"), aside.get("width")) == ("25", "50")


def test_places_tell_how_far_they_moved():
    column = Column(
        "both",
        (
            Place(1, "a", 0.9, 3, {}),
            Place(2, "b", 0.8, 2, {}),
            Place(3, "c", 0.7, 1, {}),
            Place(4, "d", 0.6, None, {}),
        ),
        gone=("e",),
    )
    assert [place.moved for place in column.places] == [2, 0, -2, None]
    text = re.sub(r"<[^>]+>", "", answers([column]))
    for words in ("▲ up 2", "same place", "▼ down 2", "new here", "No longer here: e"):
        assert words in text


def test_words_for_people():
    assert [millis(s) for s in (0.00042, 0.0123, 0.0996, 0.25, 2.5)] == [
        *("0.42 ms", "12 ms", "100 ms", "250 ms", "2.5 s"),
    ]
    assert excerpt({"text": "x" * 1000}) == "x" * 179 + "…"
    assert excerpt({"title": "T", "text": 3}) == "T"
    assert excerpt({}) == ""


def test_what_happened_leaves_out_what_only_a_measurement_made_and_limits_told_twice():
    now, fast, slow = time.time(), {"items_per_second": 0.0}, {"items_per_second": 30.0}
    told = [
        *(("copying", {}), ("rate", slow), ("paused", {"why": "reached 10%"}), ("copying", {})),
        *(("paused", {"why": "reached 20%"}), ("rate", fast), ("copying", {}), ("rate", fast)),
        *(("rate", fast), ("paused", {"why": "lunch"}), ("copying", {})),
    ]
    grid = history([Moment(now, kind, detail) for kind, detail in told], [])
    events = re.findall(r"<td[^>]*>([^<]*)</td>", grid)
    limits = ["The rate was freed of its limit", "The rate was limited to 30 items a second"]
    assert events == ["Copying began", "Paused: lunch", *limits, "Copying began"]


def test_what_happened_on_another_day_says_on_which():
    long_ago = history([Moment(1_700_000_000.0, "copying", {})], [])
    assert re.findall(r"<time[^>]*>([^<]*)</time>", long_ago) == ["2023-11-14 22:13"]
    today = history([Moment(time.time(), "copying", {})], [])
    assert re.search(r"<time[^>]*>\d\d:\d\d:\d\d</time>", today)


@pytest.mark.parametrize(
    ("whole", "held", "words"),
    [
        (True, True, "Searches read the old side for now. Both sides are kept up to date."),
        (False, False, "Searches read the new side until the old one is whole again."),
        (True, False, "as the report has it"),
    ],
)
def test_the_head_says_who_reads_what_in_a_stage(whole, held, words):
    told = {"state": "cutting over", "whole": whole, "stage": {"held": held}, "running": False}
    told |= {**dict.fromkeys(("old", "trouble", "breach")), "silent": {}}
    drawn = head({**told, "serves": [{"name": "m"}]}, "as the report has it")
    assert re.findall(r"<p>([^<]*)</p>", drawn) == [words]
