"""The page: what the ledger says is on it, and nothing on it leads elsewhere."""

from __future__ import annotations

import os
import re
import sys
from importlib.resources import files
from typing import get_args

import pytest

from holdfast import artifact
from holdfast.errors import InvalidInput
from holdfast.measure.judgements import Judgements
from holdfast.report import Report, render, write_report
from holdfast.report.markup import element
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.record.records import State
from holdfast.upgrade.side import Side
from holdfast.upgrade.watching.quality import Quality, curve, run_measured
from tests.report.conftest import NEW, OLD, answered, record
from tests.report.read import Page
from tests.upgrade.toys import Clock, ToyEncoder, ToySource, contents

STATES = get_args(State)
CELLS = "Measured cells"


def page_of(ledger):
    return Page(render(Report.of(ledger)))


def body(text):
    """Without style sheets and drawings, whose numbers are sizes and places."""
    return re.sub(r"<(style|svg)\b.*?</\1>", "", text, flags=re.S)


def test_the_table_of_cells_equals_the_ledger(measured):
    page = page_of(measured)
    header, *rows = page.table(CELLS)
    assert header == ["Cell", "R@10", "95 % interval", "n", "Against old/old", "Verdict"]
    kept = [record["finding"] for record in measured.findings()]
    for row, finding in zip(rows, kept, strict=True):
        assert row[0] == finding["cell"]
        assert row[1] == f"{finding['value']:.3f}"
        assert row[2] == f"{finding['low']:.3f} to {finding['high']:.3f}"
        assert row[3] == "80"
    assert [float(one["value"]) for one in page.all("data")] == [f["value"] for f in kept]
    assert [row[5] for row in rows] == ["–"] + ["✓ pass"] * 10
    gaps = [float(row[4].split()[0]) for row in rows[1:]]
    wanted = [answered(t / 10).mean() - answered(0.0).mean() for t in range(1, 11)]
    assert gaps == pytest.approx(wanted, abs=5.1e-4)


def test_a_failed_cell_says_so_in_words_too(ledger):
    record(ledger, 0.0, answered(1.0))
    record(ledger, 0.1, answered(0.0), base=answered(1.0))
    page = page_of(ledger)
    assert page.table(CELLS)[2][-1] == "✗ fail"
    assert {"class": "fail"} in page.all("span")


def test_what_is_to_be_known_of_the_judgements_stands_under_the_cells(ledger):
    note = "1 of 40 relevant items are not in the gallery: missed"
    finding = record(ledger, 0.0, answered(0.0))
    told = {**ledger.findings()[0], "finding": {**finding.to_json(), "note": note}}
    ledger.record(told)
    record(ledger, 1.0, answered(1.0), base=answered(0.0))
    assert f"old/old: {note}." in page_of(ledger).texts["p"]


def test_two_metrics_are_kept_apart_by_name(measured):
    record(measured, 0.0, answered(0.0), metric="RR@10")
    record(measured, 0.0, answered(0.5), part="short")
    header, *rows = page_of(measured).table(CELLS)
    assert header[1] == "Value"
    names = [row[0] for row in rows]
    assert names[0] == "R@10 old/old"
    assert names[-2:] == ["R@10 old/old (short)", "RR@10 old/old"]


def test_area_and_gain_are_those_of_the_curve(measured):
    found = curve(measured)
    (said,) = [text for text in page_of(measured).texts["p"] if text.startswith("Area under")]
    assert f"Area under the curve {found.area}, by the trapezoid rule" in said
    assert f"Area gain {found.gain}: (area − old) / (new − old)" in said


def test_a_part_of_a_loss_is_not_called_a_gain(ledger):
    for share in (0.0, 0.5, 1.0):
        record(ledger, share, answered(share, new=0.2))
    page = render(Report.of(ledger))
    found = curve(ledger)
    assert f"Area loss {found.gain}: " in page
    assert "area gain" not in page.lower()


def test_a_cell_breaks_at_its_share_and_a_slice_anywhere(ledger):
    for share in (0.0, 0.5):
        record(ledger, share, answered(share))
        record(ledger, share, answered(share), metric="nDCG@10", part="lang=de@home")
    page = render(Report.of(ledger))
    assert "<span>R@10 </span>mixed@<wbr>50%</th>" in page
    assert '<span>nDCG@10 </span>old/old<span class="slice"> (lang=de@home)</span></th>' in page


def test_equal_systems_have_no_gain(ledger):
    for share in (0.0, 1.0):
        record(ledger, share, answered(0.5), base=answered(0.5) if share else None)
    assert "so there is no gain to take a part of" in render(Report.of(ledger))


def test_the_plan_names_both_spaces_and_every_setting(measured):
    page = page_of(measured)
    assert page.table("Spaces")[1:] == [
        ["old", OLD.name, "256", "cosine", OLD.fingerprint],
        ["new", NEW.name, "384", "dot", NEW.fingerprint],
    ]
    settings = dict(zip(page.texts["dt"], page.texts["dd"], strict=True))
    for name, value in Plan().model_dump().items():
        if value is not None:
            assert settings[name.replace("_", " ")] == str(value)


def test_events_are_in_utc_with_how_long_they_lasted(measured):
    rows = page_of(measured).table("Events")[1:]
    assert rows[1] == ["2026-09-21 14:13:30", "Copying began", "2 min"]
    assert rows[-1][1:] == ["Ready: every item that can move has moved", ""]


def test_a_pause_that_was_gone_on_from_is_one_row(ledger):
    for state in ("copying", "paused", "copying", "paused"):
        ledger.set_state(state, why="reached 10%" if state == "paused" else None)
    said = [row[1] for row in page_of(ledger).table("Events")[2:]]
    assert said == [
        "Copying began",
        "Paused: reached 10%, then went on",
        "Paused: reached 10%",
    ]


def test_the_quarantine_names_the_first_fifty_and_counts_all(ledger):
    names = [f"x{n}" for n in range(1234)]
    ledger.fill(names)
    ledger.quarantine(dict.fromkeys(names, "gone"))
    page = page_of(ledger)
    rows = page.table("1,234 quarantined items, the first 50 of them")
    assert rows[1:] == [[name, "gone"] for name in names[:50]]


HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>&amp;' {old} %s"


def test_nothing_users_wrote_becomes_markup(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite", lambda: 0.0)
    bad = Space(HOSTILE, 3, fingerprint=HOSTILE)
    ledger.begin({"merge": HOSTILE, "new_setting": HOSTILE}, bad, bad)
    ledger.fill([HOSTILE])
    ledger.quarantine({HOSTILE: HOSTILE})
    ledger.set_state("paused", why=HOSTILE)
    ledger.event(HOSTILE, {})
    record(ledger, 0.0, answered(0.0), cell=HOSTILE, metric=HOSTILE, part=HOSTILE)
    record(ledger, 0.0, answered(0.0), metric=HOSTILE)
    text = render(Report.of(ledger))
    ledger.close()
    page = Page(text)
    assert not page.all("script")
    assert not page.all("img")
    assert page.table("1 quarantined item")[1] == [HOSTILE, HOSTILE]
    assert page.table("Spaces")[1][1] == HOSTILE
    assert all(name not in {"onerror", "onload"} for _, attrs in page.elements for name in attrs)


def test_attributes_and_children_are_escaped_and_markup_is_not_twice():
    made = element("p", element("b", "a<b"), "&lt;", data_note='"><i>')
    page = Page(made)
    assert [name for name, _ in page.elements] == ["p", "b"]
    assert page.all("p") == [{"data-note": '"><i>'}]
    assert page.texts == {"b": ["a<b"], "p": ["a<b&lt;"]}


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_a_whole_page_that_fetches_nothing(measured, state):
    measured.set_state(state)
    text = render(Report.of(measured))
    page = Page(text)
    assert text.startswith("<!doctype html>")
    assert page.all("html") == [{"lang": "en"}]
    for name in ("script", "link", "img", "iframe", "object", "embed", "base", "form", "a"):
        assert not page.all(name)
    assert [a for _, a in page.elements if {"src", "srcset", "href", "action"} & set(a)] == []
    assert all(a["xlink:href"].startswith("#") for a in page.all("use"))
    outside = [u for u in re.findall(r"https?://[^\s\"'<]+", text) if "www.w3.org" not in u]
    assert outside == []
    assert not re.search(r"@import|url\((?!#)", text)
    policy = {"http-equiv": "Content-Security-Policy"}.items()
    (told,) = [a["content"] for a in page.all("meta") if policy <= a.items()]
    assert told == "default-src 'none'; style-src 'unsafe-inline'"


def test_a_page_can_be_heard_as_well_as_seen(measured):
    page = page_of(measured)
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch(r"h\d", name)]
    assert levels == [1] + [2] * 6
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    named = [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert set(named) <= set(ids)
    assert len(page.all("table")) == len(page.texts["caption"])
    assert {a.get("scope") for a in page.all("th")} == {"col", "row"}
    (plot,) = page.all("svg")
    assert plot["role"] == "img"
    assert "R@10" in plot["aria-label"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all(
        "meta"
    )


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_every_text_colour_stands_out_from_its_ground(scheme):
    """WCAG 2, level AA: 4.5 to 1; the light scheme comes first in the style sheet."""
    style = files("holdfast.report").joinpath("style.css").read_text(encoding="utf-8")
    block = re.findall(r":root \{(.*?)\}", style, flags=re.S)[scheme]
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", block))
    assert len(colours) == 8
    for ground in ("paper", "raised"):
        for ink in ("ink", "quiet", "accent", "good", "bad"):
            light, dark = sorted((luminance(colours[ground]), luminance(colours[ink])))[::-1]
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ground, ink)


def test_a_ledger_without_findings_or_without_an_upgrade_is_a_page_too(ledger, tmp_path):
    assert "Nothing was measured" in render(Report.of(ledger))
    empty = Ledger(tmp_path / "empty.sqlite", lambda: 0.0)
    page = page_of(empty)
    empty.close()
    assert page.texts["h1"] == ["No upgrade yet"]
    assert page.texts["code"][0] == "holdfast plan --dry-run"


def test_half_a_curve_is_drawn_and_its_area_is_promised(ledger):
    for share in (0.0, 0.1, 0.2):
        record(ledger, share, answered(share), base=answered(0.0) if share else None)
    text = render(Report.of(ledger))
    assert "The area under the curve is told once" in text
    assert "straight line" not in text
    assert len(Page(text).all("svg")) == 1


def test_without_matplotlib_the_report_says_so_and_keeps_its_numbers(measured, monkeypatch):
    whole = page_of(measured)
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = page_of(measured)
    assert not page.all("svg")
    assert page.tables == whole.tables
    (said,) = [text for text in page.texts["p"] if "not drawn" in text]
    assert "plots need holdfast[plots]. Install it with: pip install 'holdfast[plots]'" in said


def test_a_report_is_written_whole_and_the_same_each_time(measured, tmp_path):
    path = tmp_path / "deep" / "report.html"
    assert write_report(measured, str(path)) == path
    first = path.read_bytes()
    assert first.decode() == render(Report.of(measured))
    reader = Ledger(tmp_path / "ledger.sqlite", lambda: 1.0, readonly=True)
    write_report(reader, path)
    reader.close()
    assert path.read_bytes() == first
    assert [one.name for one in path.parent.iterdir()] == ["report.html"]


def test_what_fails_leaves_the_last_report_alone(measured, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_report(measured, path)
    first = path.read_bytes()

    def full(_):
        raise OSError("no space left")

    monkeypatch.setattr(artifact.os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_report(measured, path)
    assert path.read_bytes() == first
    assert sorted(p.name for p in tmp_path.glob("*report*")) == ["report.html"]


def test_a_folder_is_refused(measured, tmp_path):
    with pytest.raises(InvalidInput, match="write_report: expected a file to write"):
        write_report(measured, tmp_path)


def test_only_a_report_or_an_empty_file_is_replaced(measured, tmp_path):
    notes, pipe, empty = tmp_path / "notes.html", tmp_path / "pipe", tmp_path / "empty.html"
    notes.write_text("<!doctype html>\n<p>about holdfast</p>\n", encoding="utf-8")
    os.mkfifo(pipe)
    for other in (notes, pipe):
        with pytest.raises(InvalidInput, match="expected a new file, or an earlier report, got"):
            write_report(measured, other)
    assert notes.read_text(encoding="utf-8") == "<!doctype html>\n<p>about holdfast</p>\n"
    assert pipe.is_fifo()
    empty.touch()  # as mktemp leaves one
    for _ in range(2):
        assert write_report(measured, empty).read_text(encoding="utf-8").endswith("</html>\n")


def test_an_upgrade_that_ran_is_told_without_what_it_moved(tmp_path):
    space_a, space_b = Space("a", 8), Space("b", 12)
    items = contents(80)
    old_model, new_model = ToyEncoder(space_a, seed=1), ToyEncoder(space_b, seed=2)
    old = MemoryStore(space_a)
    payloads = [{"text": f"private words {name}"} for name in items]
    vectors = old_model.encode(list(items.values()), "document")
    old.upsert(list(items), vectors, payloads, range(len(items)))
    ledger = Ledger(tmp_path / "ledger.sqlite", lambda: 5.0)
    plan = Plan(batch_size=8, max_batch_size=8)
    ledger.begin(plan.model_dump(), space_a, space_b)
    gallery = Gallery(
        Side(old, old_model), Side(MemoryStore(space_b), new_model), ledger, clock=Clock(1000)
    )
    source = ToySource({name: value for name, value in items.items() if name != "i7"})
    engine = Engine(gallery, ReEmbed(source, new_model), plan)
    names = list(items)[::4]
    judgements = Judgements.from_dict({f"q-{n}": {n: 1} for n in names})
    judgements = Judgements(judgements.query_ids, judgements.qrels, tuple(names))
    quality = Quality(gallery, judgements, "R@1", 3)
    quality._contents = [items[name] for name in names]
    _, findings = run_measured(engine, quality)
    text = render(Report.of(ledger))
    gallery.close()
    page = Page(text)
    values = [f"{finding.value:.3f}" for finding in findings]
    assert [row[1] for row in page.table(CELLS)[1:]] == values
    assert page.table("1 quarantined item")[1][0] == "i7"
    assert "private words" not in text
    assert "q-i4" not in text
    said = body(text)
    assert not [v for v in vectors.array.ravel() if f"{v:.5f}" in said]


def test_the_commands_it_recommends_exist(ledger):
    cli = pytest.importorskip("holdfast.cli", exc_type=ImportError)
    known = set(cli.main.commands)
    for state in STATES:
        ledger.set_state(state)
        for text in page_of(ledger).texts["code"]:
            if text.startswith("holdfast "):
                assert text.split()[1] in known
