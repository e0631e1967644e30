"""What the page says while a cut-over goes in stages, and after it."""

import html
import re

import pytest

from holdfast.measure.finding import Finding
from holdfast.service import panels
from holdfast.upgrade.watching.panel import Panel


def text_of(page, name):
    """A part of the page without its tags."""
    part = page[page.index(f'id="part-{name}"') :]
    part = part[part.index(">") + 1 : part.index("</section>")]
    return html.unescape(re.sub(r"<[^>]+>", "", part))


def test_a_stage_by_name_alone_is_no_share_of_nothing(client):
    client.command("start")
    client.until("ready")
    client.command("stage", where={"lang": "de"})
    page = client.get("/").text
    told = text_of(page, "progress")
    assert told.startswith("Some searches are answered by the new side")
    assert told.endswith(
        "The new side is read by searches for lang = 'de', the old side by the rest."
    )
    assert "<title>Cutting over · Holdfast</title>" in page
    client.command("stage", share=0.25, tenants=["acme"])
    told = text_of(client.get("/").text, "progress")
    assert told.startswith("25 % of the traffic reads the new side, and who is named")
    client.command("stage", tenants=["acme"])
    client.command("step-back")
    page = client.get("/").text
    assert text_of(page, "progress").startswith("0 % of the traffic reads the new side")
    assert "<title>0 % · cutting over · Holdfast</title>" in page


def test_what_was_left_behind_is_told_in_a_stage_and_after_it(home, opened):
    home.configure(new="picky")
    for command in ("build", "plan", "backfill"):
        home.done(command)
    left = sum("w13" in text.split() for text in home.documents.values())
    share = (120 - left) / 120
    client = opened(home)
    client.command("stage", share=1.0, leave_behind_quarantined=True)
    assert client.status()["share"] == share
    page = client.get("/").text
    assert text_of(page, "head").count(f"{left} quarantined items cannot be found on the new side")
    assert text_of(page, "progress").startswith("100 % of the traffic reads the new side")
    client.command("cut-over")
    assert client.status()["share"] == share
    told = text_of(client.get("/").text, "progress")
    assert told.startswith(f"{round(100 * share, 1):g} % of the gallery is read from the new side")
    assert f"holdfast_share {share}" in client.get("/metrics").text


@pytest.mark.parametrize("steps", [["stage"], ["cut-over"], ["cut-over", "finish"], ["roll-back"]])
def test_the_page_says_where_nothing_can_be_throttled(client, steps):
    button = re.compile(r'<button[^>]*id="do-throttle"[^>]*>')
    assert "aria-disabled" not in button.search(client.get("/").text)[0]
    client.command("start")
    client.until("ready")
    for step in steps:
        assert client.command(step, **({"share": 0.5} if step == "stage" else {})).is_success
    refused = client.command("throttle", items_per_second=5.0)
    why = refused.json()["got"]
    assert (refused.status_code, why) == (409, f"the upgrade is {client.status()['state']}")
    told = button.search(client.get("/").text)[0]
    assert 'aria-disabled="true"' in told
    assert f'data-why="{why}"' in told


def test_what_the_watch_sees_is_explained_beside_it():
    names = ("overlap@10", "flips", "empty", "slow", *Panel.STATISTICS, "bridge")
    findings = [Finding(name, "mixed@80%", 0.5, 0.4, 0.6, 150) for name in names]
    page = panels.watched(findings, {"sampled": 150}, None, 0.8)
    for name in names:
        words = re.search(rf"<li><b>{name}</b>: (.*?)</li>", page)
        assert words is not None
        assert len(words[1]) > 20
