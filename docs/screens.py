"""Take the pictures of the dashboard: python docs/screens.py FOLDER

A gallery of 900 functions of Python's standard library, as the demo makes it, is upgraded to 80 %
behind `holdfast serve`, asked its judged questions, and looked at with a Chromium. FOLDER is made,
and may be deleted afterwards. Needs the extras of the demo and the service, playwright, a Chromium.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from holdfast.cli.demo_files import CONFIG, QUERIES, prepare

IMAGES = Path(__file__).resolve().parent / "images"
ITEMS, MOVED, ASKED = 900, "80%", 150
PORT, TOKEN = 8119, "a token for pictures of a demo"
QUESTION = "read a file line by line without keeping it in memory"
WATCHED = """
[[gate]]
cell = "mixed@*"
not_worse = true

[watch]
share = 1.0
on_breach = "tell"
"""
TALL = 1550  # of a phone's page: the rest is one list more
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def holdfast(folder: Path, *words: str) -> None:
    """Run a command on the gallery in the folder."""
    command = [sys.executable, "-m", "holdfast", words[0], "-c", str(folder / CONFIG), *words[1:]]
    subprocess.run(command, check=True)


@contextmanager
def served(folder: Path) -> Iterator[httpx.Client]:
    """`holdfast serve`, until the block ends."""
    command = [sys.executable, "-m", "holdfast", "serve", "-c", str(folder / CONFIG)]
    service = subprocess.Popen(
        [*command, "--port", str(PORT)], env={**os.environ, "HOLDFAST_TOKEN": TOKEN}
    )
    try:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(
            base_url=f"http://127.0.0.1:{PORT}", headers=headers, timeout=60
        ) as client:
            wait(lambda: ready(client))
            yield client
    finally:
        service.terminate()
        service.wait(60)


def wait(reached: Any) -> None:
    """Until it is so, for two minutes at most."""
    for _ in range(1200):
        if reached():
            return
        time.sleep(0.1)
    raise TimeoutError(str(reached))


def ready(client: httpx.Client) -> bool:
    """Whether the service answers."""
    try:
        return client.get("/ready").is_success
    except httpx.TransportError:
        return False


def ask(client: httpx.Client, folder: Path, count: int) -> None:
    """Search for the first judged questions, one after the other."""
    lines = (folder / QUERIES).read_text(encoding="utf-8").splitlines()
    for line in lines[:count]:
        text = json.loads(line)["text"]
        client.post("/api/search", json={"texts": [text], "k": 10}).raise_for_status()


def keep(page: Page, name: str, **how: Any) -> None:
    """Write a picture, in 256 colours."""
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(1500)  # what moves comes to rest
    picture = Image.open(BytesIO(page.screenshot(**how))).convert("RGB")
    picture.quantize(256, Image.Quantize.MAXCOVERAGE).save(
        IMAGES / f"dashboard-{name}.png", optimize=True
    )


def visit(browser: Any, width: int, height: int, **more: Any) -> Page:
    """The dashboard, with an answer to the question."""
    page: Page = browser.new_context(viewport={"width": width, "height": height}, **more).new_page()
    page.goto(f"http://127.0.0.1:{PORT}/")
    page.fill("#question", QUESTION)
    page.press("#question", "Enter")
    page.wait_for_selector("#answers section")
    page.evaluate("document.activeElement.blur()")
    return page


def half_way(browser: Any) -> None:
    """In the light, in the dark, on a phone, and before a rollback."""
    page = visit(browser, 1280, 900, color_scheme="light")
    keep(page, "light", full_page=True)
    page.click("#do-roll-back")
    page.wait_for_selector("#confirm-dialog[open]")
    keep(page, "confirm")
    keep(visit(browser, 1280, 900, color_scheme="dark"), "dark", full_page=True)
    phone = {"color_scheme": "light", "device_scale_factor": 2, "is_mobile": True}
    part = {"x": 0, "y": 0, "width": 390, "height": TALL}
    keep(visit(browser, 390, 780, **phone), "phone", full_page=True, clip=part)


def in_a_stage(browser: Any) -> None:
    """Before the next stage of a cut-over."""
    page = visit(browser, 1280, 900, color_scheme="light")
    page.click("#do-stage")
    page.wait_for_selector("#confirm-dialog[open]")
    keep(page, "stage")


def main(folder: Path) -> None:
    """See the module's docstring."""
    prepare(folder, True, ITEMS)
    with (folder / CONFIG).open("a", encoding="utf-8") as config:
        config.write(WATCHED)
    holdfast(folder, "build")
    holdfast(folder, "assess")
    holdfast(folder, "plan")
    holdfast(folder, "backfill", "--until", MOVED)
    found = next(path for name in BROWSERS if (path := shutil.which(name)))
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=flags)
        with served(folder) as client:
            ask(client, folder, ASKED)
            half_way(browser)
        holdfast(folder, "backfill")
        holdfast(folder, "cutover", "--share", "10%", "--tenant", "acme")
        with served(folder) as client:
            ask(client, folder, ASKED)
            in_a_stage(browser)
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
