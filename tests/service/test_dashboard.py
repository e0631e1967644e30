"""The dashboard in a real browser, by keyboard alone, with no request to anywhere else."""

import json
import os
import shutil
import time

import pytest

from tests.service.conftest import TOKEN

BROWSER = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
SLOW = {"TOY_SECONDS": "0.25"}  # fifteen batches: four seconds

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here: apt-get install chromium"
)


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = play.chromium.launch(executable_path=BROWSER, args=flags)
        yield browser
        browser.close()


class Visit:
    """One page, and everything that must not happen on it."""

    def __init__(self, browser, address, **more):
        self.address = address
        self.context = browser.new_context(**more)
        self.page = self.context.new_page()
        self.wrong, self.hosts = [], set()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._see)
        self.page.goto(f"{address}/")

    def _hear(self, message):
        refused = "the server responded with a status of" in message.text  # our own answers
        if message.type in ("error", "warning") and not refused:
            self.wrong.append(message.text)

    def _see(self, request):
        if not request.url.startswith(("data:", f"{self.address}/")):
            self.hosts.add(request.url)

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def reach(self, name, back=False):
        """Move the focus there by Tab alone."""
        for _ in range(60):
            if self.page.evaluate("document.activeElement.id") == name:
                return
            self.press("Shift+Tab" if back else "Tab")
        raise AssertionError(f"Tab does not lead to {name}")

    def command(self, name):
        """Go to the button and press it, once it may be pressed."""
        self.page.wait_for_selector(f"#do-{name}:not([aria-disabled])", timeout=30_000)
        self.page.evaluate("document.body.focus()")
        self.reach(f"do-{name}")
        self.press("Enter")

    def confirm(self):
        """In the dialog, from Cancel, which has the focus, to the deed."""
        self.page.wait_for_selector("#confirm-dialog[open]")
        assert self.page.evaluate("document.activeElement.textContent") == "Cancel"
        told = self.page.inner_text("#confirm-tells")
        self.reach("confirm-do")
        self.press("Enter")
        self.page.wait_for_function("() => !document.getElementById('confirm-dialog').open")
        return told

    def state(self, word):
        self.page.wait_for_function(
            "word => document.querySelector('.pill').textContent === word", arg=word, timeout=30_000
        )

    @property
    def share(self):
        return float(self.page.inner_text("#share").removesuffix("%").strip())

    def close(self):
        self.context.close()
        assert self.wrong == []
        assert self.hosts == set()


@pytest.fixture
def visit(browser):
    visits = []

    def begin(address, **more):
        visits.append(Visit(browser, address, **more))
        return visits[-1]

    yield begin
    for one in visits:
        one.close()


@pytest.fixture
def slow(home):
    home.configure(new="slow", judged=True)
    home.done("build")
    home.done("plan")
    return home


def sign_in(page_of):
    """The dialog is open: type the token."""
    page_of.page.wait_for_selector("#sign-dialog[open]")
    page_of.page.keyboard.type(TOKEN)
    page_of.press("Enter")
    page_of.page.wait_for_selector("#who")


def test_a_whole_upgrade_by_keyboard(slow, served, visit):
    running = served(slow, **SLOW)
    here = visit(running.address)
    page = here.page
    assert here.share == 0.0

    here.command("start")
    sign_in(here)  # asked for once, and what was asked for goes on
    assert page.inner_text("#who") == "signed in by HOLDFAST_TOKEN"
    here.state("copying")
    seen = []
    while len(seen) < 4:
        if not seen or here.share > seen[-1]:
            seen.append(here.share)
        time.sleep(0.05)
    assert 0.0 <= seen[0] < seen[1] < seen[2] < seen[3] <= 100.0

    here.command("pause")
    here.state("paused")
    stopped = here.share
    assert 0.0 < stopped < 100.0
    time.sleep(1.2)
    assert here.share == stopped

    here.reach("question")
    page.keyboard.type("w1 w2 w3")
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

    here.command("resume")
    here.state("ready")
    page.wait_for_selector(".chart .dot >> nth=10", state="attached", timeout=30_000)

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
        "start",
        "pause",
    ]
    assert "The upgrade is rolled back" in page.inner_text("#part-say")


def test_what_is_not_possible_says_why_and_stays_reachable(planned, served, visit):
    here = visit(served(planned).address)
    here.reach("do-cut-over")
    assert here.page.get_attribute("#do-cut-over", "aria-disabled") == "true"
    here.press("Enter")
    assert (
        here.page.inner_text("#part-say") == "Cut over is not possible now: the upgrade is planned."
    )
    assert not here.page.evaluate("document.getElementById('confirm-dialog').open")


def comes_back(page, name):
    """Whether the focus comes to an element; the page is told of a closed dialog a little later."""
    for _ in range(100):
        if page.evaluate("document.activeElement.id") == name:
            return True
        page.wait_for_timeout(20)
    return False


def test_escape_leaves_the_dialog_and_changes_nothing(planned, served, visit):
    running = served(planned)
    here = visit(running.address)
    here.command("roll-back")
    here.page.wait_for_selector("#confirm-dialog[open]")
    here.press("Escape")
    assert not here.page.evaluate("document.getElementById('confirm-dialog').open")
    assert comes_back(here.page, "do-roll-back")
    assert running.status()["state"] == "planned"


def test_the_focus_comes_back_to_a_button_that_was_drawn_anew(planned, served, visit):
    here = visit(served(planned).address)
    here.command("roll-back")
    here.page.wait_for_selector("#confirm-dialog[open]")
    here.page.evaluate("replace('controls', document.getElementById('part-controls').innerHTML)")
    here.press("Escape")
    assert comes_back(here.page, "do-roll-back")


def test_a_wrong_token_is_told_and_nothing_is_done(planned, served, visit):
    running = served(planned)
    here = visit(running.address)
    here.command("start")
    here.page.wait_for_selector("#sign-dialog[open]")
    here.page.keyboard.type("not-the-token-at-all")
    here.press("Enter")
    here.page.wait_for_function("() => document.getElementById('sign-wrong').textContent !== ''")
    assert "a token that it knows" in here.page.inner_text("#sign-wrong")
    assert running.status()["state"] == "planned"
    assert here.context.cookies() == []


def test_the_token_is_kept_where_scripts_cannot_read_it(planned, served, visit):
    here = visit(served(planned).address)
    here.reach("sign-in")
    here.press("Enter")
    sign_in(here)
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
    if not here.page.evaluate("document.getElementById('confirm-dialog').open"):
        here.page.wait_for_selector("#confirm-dialog[open]")
    assert "no way back" in here.page.inner_text("#confirm-tells")
    here.page.keyboard.type("yes")
    here.press("Enter")
    sign_in(here)
    here.page.wait_for_function("() => document.getElementById('told').textContent !== ''")
    assert running.status()["state"] == "cut over"
    here.command("finish")
    here.page.wait_for_selector("#confirm-dialog[open]")
    here.page.keyboard.type("give up the old side")
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
    here.page.keyboard.type("w1 w2 w3")
    here.press("Enter")
    here.page.wait_for_selector("#answers section")
    assert nasty in here.page.inner_text("#answers")
    assert "owned" not in here.page.title()
    assert here.page.locator("#answers script, #answers img, main script").count() == 0


def test_it_says_when_the_service_is_gone_and_comes_back(planned, served, visit):
    running = served(planned)
    here = visit(running.address)
    assert here.page.is_hidden("#lost")
    port = running.address.rpartition(":")[2]
    running.stop()
    here.page.wait_for_selector("#lost", state="visible")
    again = served(planned, "--port", port)
    assert again.address == running.address
    here.page.wait_for_selector("#lost", state="hidden", timeout=20_000)
    here.wrong.clear()  # the browser's own words about the lost connection


def test_a_refused_stream_is_asked_for_again(planned, served, visit):
    """A service that is going down refuses readers: browsers never come back from that alone."""
    running = served(planned)
    here = visit(running.address)
    refusals = iter(range(2))

    def answer(route):
        if next(refusals, None) is None:
            route.continue_()
        else:
            route.fulfill(status=503, body="{}", content_type="application/problem+json")

    here.page.route("**/events", answer)
    here.page.reload()
    here.page.wait_for_selector("#lost", state="visible")
    here.page.wait_for_selector("#lost", state="hidden", timeout=20_000)
    assert next(refusals, None) is None
    here.wrong.clear()  # the browser's own words about the two refusals


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


def test_no_width_makes_it_scroll_sideways(slow, served, visit):
    running = served(slow)
    for width in (320, 390, 768, 1280):
        here = visit(running.address, viewport={"width": width, "height": 800})
        assert here.page.evaluate("document.documentElement.scrollWidth") <= width
        sizes = here.page.eval_on_selector_all(
            ".button",
            "all => all.map(one => one.getBoundingClientRect().height).filter(h => h > 0)",
        )
        assert min(sizes) >= 43.0  # for fingers
