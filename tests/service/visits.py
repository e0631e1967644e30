"""A real browser that visits the dashboard, by keyboard alone, and notes what must not happen."""

import os
import shutil

import pytest

TOKEN = "a-token-that-nobody-guesses"

BROWSER = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
PATIENCE = 240_000  # milliseconds: only a failure takes as long, whatever else the machine does
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here: apt-get install chromium"
)

# All that a screen reader is told: what comes next may take its place before anybody looks.
LISTEN = """
window.heard = [];
addEventListener("DOMContentLoaded", () => {
  const note = (changes) => {
    for (const { addedNodes } of changes) for (const one of addedNodes) heard.push(one.textContent);
  };
  const place = document.getElementById("part-say");
  if (place) new MutationObserver(note).observe(place, { childList: true });
});
"""


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = play.chromium.launch(executable_path=BROWSER, args=flags, timeout=PATIENCE)
        yield browser
        browser.close()


class Visit:
    """One page, and everything that must not happen on it."""

    def __init__(self, browser, address, **more):
        self.address = address
        self.context = browser.new_context(**more)
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.away = False  # whether the service is known to be gone for a while
        self.wrong, self.hosts = [], set()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._see)
        self.page.add_init_script(LISTEN)
        self.page.goto(f"{address}/")

    def _hear(self, message):
        refused = "the server responded with a status of" in message.text  # our own answers
        lost = self.away and "net::ERR_" in message.text
        if message.type in ("error", "warning") and not (refused or lost):
            self.wrong.append(message.text)

    def _see(self, request):
        if not request.url.startswith(("data:", f"{self.address}/")):
            self.hosts.add(request.url)

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, words):
        self.page.keyboard.type(words)

    def reach(self, name, back=False):
        """Move the focus there by Tab alone."""
        for _ in range(80):
            if self.page.evaluate("document.activeElement.id") == name:
                return
            self.press("Shift+Tab" if back else "Tab")
        raise AssertionError(f"Tab does not lead to {name}")

    def until(self, script, arg=None):
        """Wait until a function of the page says so."""
        self.page.wait_for_function(script, arg=arg)

    def until_open(self, name):
        self.page.wait_for_selector(f"#{name}[open]")

    def until_shut(self, name):
        self.until("name => !document.getElementById(name).open", name)

    def until_focused(self, name):
        self.until("name => document.activeElement.id === name", name)

    def until_heard(self, words):
        self.until("words => heard.some(one => one.includes(words))", words)

    def command(self, name):
        """Go to the button and press it, once it may be pressed and no dialog is above it."""
        self.until("() => !document.querySelector('dialog[open]')")
        self.page.wait_for_selector(f"#do-{name}:not([aria-disabled])")
        self.reach(f"do-{name}")
        self.press("Enter")

    def confirm(self):
        """In the dialog, from Cancel, which has the focus, to the deed."""
        self.until_open("confirm-dialog")
        assert self.page.evaluate("document.activeElement.textContent") == "Cancel"
        told = self.page.inner_text("#confirm-tells")
        self.reach("confirm-do")
        self.press("Enter")
        self.until_shut("confirm-dialog")
        return told

    def sign_in(self, token=TOKEN):
        """The dialog is open: type the token."""
        self.until_open("sign-dialog")
        self.type(token)
        self.press("Enter")
        self.page.wait_for_selector("#who")

    def sign_in_to_look(self):
        """At a private service: the page asks by itself, and is loaded anew then."""
        self.until_open("sign-dialog")
        self.type(TOKEN)
        self.press("Enter")
        self.page.wait_for_selector(".pill")

    def state(self, word):
        self.until("word => document.querySelector('.pill').textContent === word", word)

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
