"""What docs/how-to/serve.md tells to type is typed, in order, against a service of its own."""

import os
import re
import shlex

import httpx

from tests.house.documents import blocks_of
from tests.house.tree import ROOT
from tests.service.conftest import PATIENCE, TOKEN

PAGE = ROOT / "docs" / "how-to" / "serve.md"
BLOCKS = list(blocks_of(PAGE, PAGE.read_text(encoding="utf-8")))


def lines():
    """Command lines of the page, continued ones joined."""
    for block in BLOCKS:
        if block.language == "sh":
            yield from re.sub(r"\s*\\\n\s*", " ", block.code).splitlines()


def curl(line):
    """What curl would ask, for the options that the page uses."""
    method, headers, body, address = None, {}, None, None
    words = iter(shlex.split(line)[1:])
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "--json":
            body = next(words)
            headers["Content-Type"] = "application/json"
        elif word.startswith("-"):
            assert set(word[1:]) <= set("sf"), word
        else:
            address = word
    fails = "-sf" in line
    asked = method or ("POST" if body else "GET")
    return fails, httpx.request(asked, address, headers=headers, content=body, timeout=PATIENCE)


def test_every_command_of_the_page_does_what_it_says(planned, served, monkeypatch):
    running = served(planned)
    monkeypatch.setenv("HOLDFAST_TOKEN", TOKEN)
    monkeypatch.setenv("ADDRESS", running.address)
    answers = []
    for line in lines():
        if not line.startswith("curl"):
            continue
        fails, told = curl(os.path.expandvars(line))
        assert told.status_code < 400 or not fails, (line, told.text)
        answers.append((line, told))
    assert len(answers) == 9
    assert len(answers[0][1].json()["answers"][0]["hits"]) == 3
    assert answers[2][1].json() == answers[3][1].json() == {"items": 1}
    assert answers[6][1].json()["words"] == "At most 500 items a second move."
    refused = answers[8][1].json()
    assert refused["expected"] == '"read the old side alone"'
    assert "searches read" in refused["fix"]


def test_the_table_of_commands_is_complete(still):
    text = PAGE.read_text(encoding="utf-8")
    table = text[text.index("| command |") : text.index("`/api/commands` says")]
    told = {one["name"]: one["confirm"] for one in still.get("/api/commands").json()}
    for name, confirm in told.items():
        assert f"`{name}`" in table
        assert not confirm or f'"{confirm}"' in table


def test_the_paths_of_the_page_exist(still):
    described = still.get("/openapi.json").json()["paths"]
    known = {*described, "/openapi.json", "/metrics", "/api/commands/start"}
    known |= {f"/api/commands/{one['name']}" for one in still.get("/api/commands").json()}
    named = set(re.findall(r"(/(?:api|health|ready|metrics|openapi)[\w./-]*\w)", PAGE.read_text()))
    assert named - known == set()
