"""A cut-over in stages from the dashboard: forward, back, held over, and after a breach."""

import json

import pytest

from holdfast.upgrade.project import Project
from tests.service.test_dashboard import LUMINANCE
from tests.service.visits import needs_browser

pytestmark = needs_browser
NASTY = "<img src=http://evil.example/x onerror=alert(1)>"


@pytest.fixture
def ready(planned):
    planned.done("backfill")
    return planned


def stage(here, share=None, tenants=(), where=None):
    """Open the dialog, fill it by keyboard, and send it."""
    here.command("stage")
    here.until_open("confirm-dialog")
    assert here.page.evaluate("document.activeElement.id") == "stage-share"
    told = here.page.inner_text("#confirm-tells")
    given = {"stage-share": share, "stage-tenants": tenants, "stage-where": where}
    for name, value in given.items():
        here.reach(name)
        here.press("Control+a", "Delete")
        if value:
            here.type("\n".join(value) if isinstance(value, (list, tuple)) else value)
    here.reach("confirm-do")
    here.press("Enter")
    return told


def reads(here, words):
    here.until("words => document.getElementById('part-progress').innerText.includes(words)", words)


def test_a_cut_over_in_stages_by_keyboard_forward_and_back(ready, served, visit):
    running = served(ready)
    here = visit(running.address)
    told = stage(here, "25", ["acme", NASTY], '{"lang": "en"}')
    assert "A scan looks for anything missed" in told
    here.sign_in()
    here.state("cutting over")
    reads(here, f"read by 25 % of the traffic, tenants acme, {NASTY}, searches for lang = 'en'")
    here.until_shut("confirm-dialog")
    here.reach("rate", back=True)
    here.press("Control+a")
    here.type("7")
    here.press("Enter")  # what the service would refuse is not asked of it
    told = "Throttle is not possible now: the upgrade is cutting over."
    here.until("words => document.getElementById('told').textContent === words", told)
    assert here.page.input_value("#rate") == "7"
    assert running.status()["rate_limit"] is None
    assert here.share == 25.0
    assert here.page.title() == "25 % · cutting over · Holdfast"
    assert running.status()["stage"]["tenants"] == ["acme", NASTY]

    here.command("stage")  # it begins with what there is
    here.until_open("confirm-dialog")
    assert here.page.input_value("#stage-share") == "25"
    assert here.page.input_value("#stage-tenants") == f"acme\n{NASTY}"
    assert json.loads(here.page.input_value("#stage-where")) == {"lang": "en"}
    assert NASTY in here.page.inner_text("#confirm-tells")
    here.press("Escape")
    here.until_shut("confirm-dialog")
    here.until_focused("do-stage")

    stage(here, "60.5")
    reads(here, "read by 60.5 % of the traffic, the old side by the rest")
    assert running.status()["stage"]["share"] == 0.605

    here.command("step-back")
    assert "Everybody reads the old side again" in here.confirm()
    reads(here, "read by nobody, stepped back from 60.5 % of the traffic")
    assert here.share == 0.0
    assert here.page.get_attribute("#do-step-back", "aria-disabled") == "true"

    stage(here, "100")
    reads(here, "read by 100 % of the traffic")
    here.command("cut-over")
    here.confirm()
    here.state("cut over")
    here.command("roll-back")
    assert "at once" in here.confirm()
    here.state("rolled back")
    with running.client() as client:
        deeds = client.get("/api/audit").json()["deeds"]
    assert [deed["what"] for deed in deeds if deed["who"] == "HOLDFAST_TOKEN"] == [
        f"cut over 25 % of the traffic, tenants acme, {NASTY}, searches for lang = 'en'",
        "cut over 60.5 % of the traffic",
        "step back",
        "cut over 100 % of the traffic",
        "cut over",
        "roll back",
    ]
    assert here.page.locator("main img").count() == 0


def test_a_stage_that_cannot_be_is_told_in_the_dialog(ready, served, visit):
    running = served(ready)
    here = visit(running.address)
    here.reach("sign-in")
    here.press("Enter")
    here.sign_in()

    def wrong(words):
        here.until(
            "words => document.getElementById('confirm-wrong').textContent.includes(words)", words
        )
        assert here.page.evaluate("document.getElementById('confirm-dialog').open")
        assert running.status()["state"] == "ready"

    stage(here, "10", where="lang=en")
    wrong("The filter has to be JSON")
    assert here.page.evaluate("document.activeElement.id") == "stage-where"
    here.press("Control+a")
    here.type('{"lang": ["en", "de"]}')
    here.press("Enter")
    wrong("values of payload fields")
    here.press("Control+a")
    here.type("null")
    here.press("Enter")
    wrong("The filter has to be JSON")
    here.press("Control+a", "Delete")
    here.reach("stage-share", back=True)
    here.press("Control+a", "Delete", "Enter")
    wrong("a share, a tenant or a slice")
    here.type("500")
    here.press("Enter")  # the browser itself says no, and the next command is not held up by it
    here.press("Escape")
    here.until_shut("confirm-dialog")
    here.command("roll-back")
    assert here.page.is_hidden("#stage-field")
    here.confirm()
    here.state("rolled back")


def test_what_is_held_over_is_shown_and_can_be_waived(home, served, visit):
    home.configure(more="holdover_hours = 48.0")
    for command in ("build", "plan", "backfill", "cutover"):
        home.done(command)
    running = served(home)
    here = visit(running.address)
    assert "another 2 d" in here.page.inner_text("#part-progress") or "another 1 d 23 h" in (
        here.page.inner_text("#part-progress")
    )
    here.reach("sign-in")
    here.press("Enter")
    here.sign_in()
    here.command("finish")
    here.until_open("confirm-dialog")
    assert "holds it over for another" in here.page.inner_text("#confirm-tells")
    here.type("give up the old side")
    here.press("Enter")
    here.until("() => document.getElementById('confirm-wrong').textContent.includes('still to go')")
    assert running.status()["state"] == "cut over"
    here.reach("early", back=True)
    here.press(" ")
    here.reach("confirm-do")
    here.press("Enter")
    here.state("finished")


def test_a_breach_stands_at_the_top_until_somebody_goes_on(ready, served, visit):
    ready.done("cutover", "--share", "50%")
    ready.done("cutover", "--step-back")
    ledger = Project(ready.config).ledger()
    finding = {"metric": "agreement", "cell": "live@100%", "value": 0.1, "low": 0.0, "high": 0.2}
    finding |= {"n": 9, "slice": "all", "verdict": "fail", "note": "low"}
    ledger.event("breach", {"why": NASTY, "finding": finding, "did": "stepped back"})
    ledger.close()
    here = visit(served(ready).address)
    words = here.page.inner_text("#part-head")
    assert NASTY in words
    assert "Everybody was led back to the old side." in words
    here.reach("sign-in")
    here.press("Enter")
    here.sign_in()
    stage(here, "10")
    here.until("() => !document.getElementById('part-head').innerText.includes('Breach')")


def test_the_dialog_fits_and_can_be_read(ready, served, visit):
    ready.done("cutover", "--share", "50%", "--tenant", "a" * 200)
    running = served(ready)
    for scheme in ("light", "dark"):
        fits_and_can_be_read(running, visit, scheme)


def fits_and_can_be_read(running, visit, scheme):
    for width in (320, 380, 1280):
        here = visit(running.address, viewport={"width": width, "height": 800}, color_scheme=scheme)
        assert here.page.evaluate("document.documentElement.scrollWidth") <= width
        here.command("stage")
        here.until_open("confirm-dialog")
        assert here.page.evaluate(LUMINANCE.replace("main *, header *", "dialog *")) == []
        boxes = here.page.eval_on_selector_all(
            "#confirm-form *",
            "all => all.map(one => one.getBoundingClientRect()).map(box => [box.left, box.right])",
        )
        dialog = here.page.evaluate(
            "(({ left, right }) => [left, right])"
            "(document.getElementById('confirm-dialog').getBoundingClientRect())"
        )
        assert 0 <= dialog[0] < dialog[1] <= width
        seen = [box for box in boxes if box[1] > box[0]]
        assert all(dialog[0] <= left and right <= dialog[1] for left, right in seen)
        unlabelled = "all => all.filter(one => !one.labels.length).map(one => one.id)"
        fields = "#confirm-form fieldset input, #confirm-form textarea"
        assert here.page.eval_on_selector_all(fields, unlabelled) == []
