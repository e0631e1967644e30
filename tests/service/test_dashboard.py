"""The dashboard in a real browser, by keyboard alone, with no request to anywhere else."""

import json
import time

import pytest

from tests.service.conftest import TOKEN, quiet_port
from tests.service.visits import needs_browser

pytestmark = needs_browser


@pytest.fixture
def slow(home):
    home.configure(new="slow", judged=True)
    home.done("build")
    home.done("plan")
    return home


def test_a_whole_upgrade_by_keyboard(slow, served, visit):
    running = served(slow, TOY_SECONDS="0.0")
    here = visit(running.address)
    page = here.page
    assert here.share == 0.0

    throttle(here, "6")  # twenty seconds for all: whatever the machine does, there is time to pause
    here.sign_in()  # asked for once, and what was asked for goes on
    assert page.inner_text("#who") == "signed in by HOLDFAST_TOKEN"
    said(here, "At most 6 items a second move.")
    here.command("start")
    here.state("copying")
    seen = [here.share]
    while len(seen) < 4:
        here.until(
            "was => parseFloat(document.getElementById('share').textContent) > was", seen[-1]
        )
        seen.append(here.share)
    assert 0.0 <= seen[0] < seen[1] < seen[2] < seen[3] <= 100.0

    here.command("pause")
    here.state("paused")
    stopped = round(100.0 * running.until(lambda told: not told["running"])["share"], 1)
    assert 0.0 < stopped < 100.0
    here.until(
        "share => parseFloat(document.getElementById('share').textContent) === share", stopped
    )
    time.sleep(1.2)
    assert here.share == stopped

    here.reach("question")
    here.type("w1 w2 w3")
    here.press("Enter")
    page.wait_for_selector("#answers section")
    columns = {
        side: page.eval_on_selector_all(
            f"section[aria-labelledby=answer-{side}] .id", "all => all.map(one => one.textContent)"
        )
        for side in ("old", "both", "new")
    }
    assert all(len(ids) == len(set(ids)) == 8 for ids in columns.values())
    assert columns["both"] != columns["old"]
    assert page.inner_text("#answers").count("new here") > 0

    throttle(here, "0")
    said(here, "Items move without a limit.")
    here.command("resume")
    here.state("ready")
    page.wait_for_selector(".chart .dot >> nth=10", state="attached")

    here.command("cut-over")
    assert "120 items answer from tests.cli.toys:slow" in here.confirm()
    here.state("cut over")
    assert running.status()["reads"] == "new"

    here.command("roll-back")
    assert "go back" in here.confirm()
    here.state("rolled back")
    assert running.status()["reads"] == "old"
    with running.client() as client:
        deeds = client.get("/api/audit").json()["deeds"]
    deeds = [deed for deed in deeds if deed["outcome"] == "done"]
    assert [deed["what"] for deed in deeds if deed["who"] == "HOLDFAST_TOKEN"][:2] == [
        "rate 6",
        "start",
    ]
    here.until_heard("The upgrade is rolled back")


def throttle(here, rate):
    here.reach("rate")
    here.press("Control+a")
    here.type(rate)
    here.press("Enter")


def said(here, words):
    here.until("words => document.getElementById('told').textContent === words", words)


def test_what_is_not_possible_says_why_and_stays_reachable(standing, visit):
    here = visit(standing.address)
    here.reach("do-cut-over")
    assert here.page.get_attribute("#do-cut-over", "aria-disabled") == "true"
    here.press("Enter")
    here.until(
        "words => heard.includes(words)", "Cut over is not possible now: the upgrade is planned."
    )
    said(here, "Cut over is not possible now: the upgrade is planned.")  # also to who sees
    assert not here.page.evaluate("document.getElementById('confirm-dialog').open")


def test_escape_leaves_the_dialog_and_changes_nothing(standing, visit):
    here = visit(standing.address)
    here.command("roll-back")
    here.until_open("confirm-dialog")
    here.press("Escape")
    here.until_shut("confirm-dialog")
    here.until_focused("do-roll-back")
    assert standing.status()["state"] == "planned"


def test_the_focus_comes_back_to_a_button_that_was_drawn_anew(standing, visit):
    here = visit(standing.address)
    here.command("roll-back")
    here.until_open("confirm-dialog")
    here.page.evaluate("replace('controls', document.getElementById('part-controls').innerHTML)")
    here.press("Escape")
    here.until_focused("do-roll-back")


def test_whoever_has_gone_on_when_a_dialog_is_shut_is_not_called_back(standing, visit):
    """A dialog that is shut says so a moment later: by then a key may have moved the focus."""
    here = visit(standing.address)
    here.command("roll-back")
    here.until_open("confirm-dialog")
    went_on = """() => new Promise(done => {
        const dialog = document.getElementById("confirm-dialog");
        dialog.addEventListener("close", () => done(document.activeElement.id));
        dialog.close();
        document.getElementById("question").focus();
    })"""
    assert here.page.evaluate(went_on) == "question"
    here.type("w1")
    assert here.page.input_value("#question") == "w1"


def test_the_focus_stays_on_a_summary_and_a_table_that_are_drawn_anew(standing, visit):
    here = visit(standing.address)
    for kind in ("summary", ".history"):
        here.page.focus(f"#part-history {kind}")
        here.page.evaluate("replace('history', document.getElementById('part-history').innerHTML)")
        assert here.page.evaluate("kind => document.activeElement.matches(kind)", kind)


def test_a_wrong_token_is_told_and_nothing_is_done(planned, served, visit):
    running = served(planned)
    here = visit(running.address)
    here.command("start")
    here.until_open("sign-dialog")
    here.type("not-the-token-at-all")
    here.press("Enter")
    here.until("() => document.getElementById('sign-wrong').textContent !== ''")
    assert "a token that it knows" in here.page.inner_text("#sign-wrong")
    assert running.status()["state"] == "planned"
    assert here.context.cookies() == []


def test_the_token_is_kept_where_scripts_cannot_read_it(standing, visit):
    here = visit(standing.address)
    here.reach("sign-in")
    here.press("Enter")
    here.sign_in()
    (cookie,) = here.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    kept = "[document.cookie, ...Object.values(localStorage), ...Object.values(sessionStorage)]"
    assert TOKEN not in json.dumps([cookie, here.page.evaluate(kept)])
    assert here.page.evaluate("document.cookie") == ""
    here.reach("sign-out", back=True)
    here.press("Enter")
    here.page.wait_for_selector("#sign-in")
    assert here.context.cookies() == []


def test_finish_wants_its_words_typed(planned, served, visit):
    running = served(planned)
    with running.client() as client:
        client.post("/api/commands/start", json={})
        running.until(lambda told: told["state"] == "ready" and not told["running"])
        client.post("/api/commands/cut-over", json={"confirm": "read the new side alone"})
    here = visit(running.address)
    here.command("finish")
    here.until_open("confirm-dialog")
    assert "no way back" in here.page.inner_text("#confirm-tells")
    here.type("yes")
    here.press("Enter")
    here.sign_in()
    here.until("() => document.getElementById('told').textContent !== ''")
    assert running.status()["state"] == "cut over"
    here.command("finish")
    here.until_open("confirm-dialog")
    here.type("give up the old side")
    here.press("Enter")
    here.state("finished")


def test_script_in_a_document_is_shown_and_not_run(planned, served, visit):
    nasty = (
        "<script>document.title='owned'</script><img src=http://evil.example/x onerror=alert(1)>"
    )
    running = served(planned)
    with running.client() as client:
        item = {"id": nasty, "content": "w1 w2 w3", "payload": {"text": nasty}}
        assert client.put("/api/items", json={"items": [item]}).status_code == 200
        client.post("/api/commands/start", json={"why": nasty})
    here = visit(running.address)
    here.reach("question")
    here.type("w1 w2 w3")
    here.press("Enter")
    here.page.wait_for_selector("#answers section")
    assert nasty in here.page.inner_text("#answers")
    assert "owned" not in here.page.title()
    assert here.page.locator("#answers script, #answers img, main script").count() == 0


def test_it_says_when_the_service_is_gone_and_comes_back(planned, served, visit):
    port = str(quiet_port())
    running = served(planned, "--port", port)
    here = visit(running.address)
    assert here.page.is_hidden("#lost")
    here.away = True
    here.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    running.stop()
    here.page.wait_for_selector("#lost", state="visible")
    assert here.page.evaluate("document.getElementById('lost').getBoundingClientRect().top") >= 0
    again = served(planned, "--port", port)
    assert again.address == running.address
    here.page.wait_for_selector("#lost", state="hidden")


def test_a_refused_stream_is_asked_for_again(standing, visit):
    """A service that is going down refuses readers: browsers never come back from that alone."""
    here = visit(standing.address)
    refused = {"status": 503, "body": "{}", "content_type": "application/problem+json"}
    here.page.route("**/events", lambda route: route.fulfill(**refused))
    here.page.reload()
    with here.page.expect_request("**/events"):  # once more, at least
        here.page.wait_for_selector("#lost", state="visible")
    here.page.unroute("**/events")
    here.page.wait_for_selector("#lost", state="hidden")


LUMINANCE = """
() => {
  const lin = v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const lum = c => 0.2126 * lin(c[0]) + 0.7152 * lin(c[1]) + 0.0722 * lin(c[2]);
  const under = one => {
    for (let at = one; at; at = at.parentElement) {
      const c = rgb(getComputedStyle(at).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const one of document.querySelectorAll("main *, header *")) {
    const own = [...one.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !one.getClientRects().length || one.closest("svg")) continue;
    const a = lum(rgb(getComputedStyle(one).color)), b = lum(under(one));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push([one.textContent.trim().slice(0, 30), ratio]);
  }
  return found;
}
"""


def test_words_stand_out_and_everything_has_a_name(slow, served, visit):
    running = served(slow, TOY_SECONDS="0.0")
    with running.client() as client:
        client.post("/api/commands/start", json={})
        running.until(lambda told: told["state"] == "ready" and not told["running"])
        for text in ("w1", "w2"):
            client.post("/api/search", json={"texts": [text]})
    for scheme in ("light", "dark"):
        here = visit(running.address, color_scheme=scheme)
        here.page.wait_for_selector(".chart")
        assert here.page.evaluate(LUMINANCE) == []
        nameless = here.page.evaluate(
            "() => [...document.querySelectorAll('button, input, a')].filter(one => !one.hidden && "
            "!(one.textContent.trim() || (one.labels && one.labels.length)))"
            ".map(one => one.outerHTML)"
        )
        assert nameless == []
        assert here.page.evaluate("document.documentElement.lang") == "en"
        headings = here.page.eval_on_selector_all(
            "h1, h2, h3", "all => all.map(one => one.tagName)"
        )
        assert headings.count("H1") == 1
        ids = here.page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
        assert len(ids) == len(set(ids))


def test_no_width_makes_it_scroll_sideways(standing, visit):
    for width in (320, 390, 768, 1280):
        here = visit(standing.address, viewport={"width": width, "height": 800})
        assert here.page.evaluate("document.documentElement.scrollWidth") <= width
        sizes = here.page.eval_on_selector_all(
            ".button",
            "all => all.map(one => one.getBoundingClientRect().height).filter(h => h > 0)",
        )
        assert min(sizes) >= 43.0  # for fingers
        assert here.page.evaluate(LINES) == 1  # no word in pieces


# In one go: what the stream brings takes the place of a cell that was looked up before.
LINES = """() => {
    document.getElementById('audit-table').open = true;
    const text = document.createRange();
    text.selectNodeContents(document.querySelector('.audit td'));
    return text.getClientRects().length;
}"""


def test_a_session_that_has_ended_is_asked_for_anew(planned, served, visit):
    """A private service refuses the stream then; trying again for ever would help nobody."""
    here = visit(served(planned, "--private").address)
    with here.page.expect_response("**/events") as stream:  # of the page that was loaded anew
        here.sign_in_to_look()
    assert stream.value.status == 200
    here.context.clear_cookies()
    here.page.evaluate("listen()")
    here.until_open("sign-dialog")
    assert here.page.locator(".pill").count() == 0


def test_an_answer_that_comes_late_does_not_take_the_place_of_a_later_one(standing, visit):
    here = visit(standing.address)
    held = []

    def answer(route):
        if "w1" in route.request.post_data and not held:
            held.append(route)
        else:
            route.continue_()

    here.page.route("**/compare", answer)
    here.page.fill("#question", "w1")
    here.press("Enter")
    here.page.fill("#question", "w2")
    here.press("Enter")
    here.page.wait_for_selector("#answers section")
    with here.page.expect_request_finished(lambda request: request == held[0].request):
        held[0].fulfill(status=200, body="<p id='late'>late</p>", content_type="text/html")
    here.page.wait_for_timeout(300)
    assert here.page.locator("#late").count() == 0
    assert here.page.get_attribute("#answers", "aria-busy") == "false"


def test_a_key_that_is_pressed_twice_sends_one_command(planned, served, visit):
    planned.done("backfill")
    running = served(planned)
    here = visit(running.address)
    here.reach("sign-in")
    here.press("Enter")
    here.sign_in()
    asked = []
    here.page.on("request", lambda one: asked.append(one.url) if "/commands/" in one.url else None)
    here.command("cut-over")
    here.until_open("confirm-dialog")
    here.reach("confirm-do")
    here.page.evaluate(
        "() => { for (const _ of [1, 2]) document.getElementById('confirm-form').requestSubmit(); }"
    )
    here.state("cut over")
    here.until_shut("confirm-dialog")
    assert len(asked) == 1


def test_without_scripts_the_page_says_what_it_cannot_do(planned, served, browser):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(served(planned).address)
    assert page.inner_text(".pill") == "planned"
    assert page.inner_text("noscript").startswith("Without JavaScript this page shows where")
    page.context.close()
