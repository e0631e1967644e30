"""A small gallery in a folder, and the command line run on it, here or in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from holdfast.cli import main
from tests.house.tree import ROOT

ITEMS, WORDS, QUERIES = 120, 60, 40

CONFIG = """\
version = 1

[source]
kind = "jsonl"
path = "docs.jsonl"
payload = ["lang"]

[old]
encoder = "python"
function = "tests.cli.toys:old"
dim = 16

[new]
encoder = "python"
function = "tests.cli.toys:{new}"
dim = 24

[upgrade]
batch_size = 8
max_batch_size = 8
backoff = 0.0
{more}
"""
JUDGEMENTS = """
[judgements]
queries = "queries.jsonl"
qrels = "qrels.tsv"
metric = "R@10"
"""


@dataclass
class Home:
    """A folder with a configuration, and what it was made of."""

    folder: Path
    documents: dict[str, str]
    queries: dict[str, str]

    @property
    def config(self) -> Path:
        return self.folder / "holdfast.toml"

    def configure(self, new: str = "new", more: str = "", judged: bool = False) -> None:
        text = CONFIG.format(new=new, more=more) + (JUDGEMENTS if judged else "")
        self.config.write_text(text, encoding="utf-8")

    def words(self, command: str, *options: str) -> list[str]:
        return [command, "-c", str(self.config), *options]

    def run(self, command: str, *options: str):
        """In this process; the exit code is for the caller to judge."""
        return CliRunner().invoke(main, self.words(command, *options))

    def done(self, command: str, *options: str) -> str:
        """What it printed; it must have succeeded."""
        result = self.run(command, *options)
        assert result.exit_code == 0, result.output
        return result.stdout

    def data(self, command: str, *options: str, code: int = 0) -> dict:
        """Its JSON; nothing else may be on stdout."""
        result = self.run(command, "--json", *options)
        assert result.exit_code == code, result.output
        assert result.stdout.count("\n") == 1
        return json.loads(result.stdout)

    def refused(self, command: str, *options: str) -> str:
        """What it said; it must have been refused, with nothing written."""
        before = snapshot(self.folder)
        result = self.run(command, *options)
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        assert "Traceback" not in result.stderr
        assert snapshot(self.folder) == before
        return result.stderr

    def process(
        self, command: str, *options: str, first: str = "", **environment: str
    ) -> subprocess.Popen[str]:
        """In a process of its own, which may run a line of Python first."""
        code = f"{first}\nfrom holdfast.cli import main\nmain(prog_name='holdfast')"
        return subprocess.Popen(
            [sys.executable, "-c", code, *self.words(command, *options)],
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def found(self, query: str, k: int = 10, *options: str) -> list[tuple[str, float]]:
        (answer,) = self.data("search", query, "-k", str(k), *options)["answers"]
        return [(hit["id"], hit["score"]) for hit in answer["hits"]]


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, without the two that SQLite needs for reading beside a writer."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    passing = {name for name in files if name.endswith("-shm")}
    passing |= {name for name in files if name.endswith("-wal") and not files[name]}
    return {name: content for name, content in files.items() if name not in passing}


@pytest.fixture
def home(tmp_path) -> Home:
    """Documents of six words, queries of three words of one document."""
    return make_home(tmp_path / "home")


def make_home(folder: Path) -> Home:
    """A folder with documents, queries, judgements and a configuration."""
    rng = np.random.default_rng(0)
    documents, queries = {}, {}
    for row in range(ITEMS):
        drawn = rng.choice(WORDS, size=6, replace=False)
        documents[f"d{row}"] = " ".join(f"w{number}" for number in drawn)
        if row < QUERIES:
            queries[f"q{row}"] = " ".join(f"w{number}" for number in drawn[:3])
    folder.mkdir()
    records = [
        {"id": name, "text": text, "lang": "en" if place % 3 else "de"}
        for place, (name, text) in enumerate(documents.items())
    ]
    (folder / "docs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"id": q, "text": text}) + "\n" for q, text in queries.items())
    )
    (folder / "qrels.tsv").write_text("".join(f"q{i}\td{i}\t1\n" for i in range(QUERIES)))
    home = Home(folder, documents, queries)
    home.configure()
    return home


@pytest.fixture
def planned(home) -> Home:
    """Built and planned."""
    home.done("build")
    home.done("plan")
    return home
