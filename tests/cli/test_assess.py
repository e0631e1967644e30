"""`holdfast assess` on a small gallery: verdicts, what is paid, what is written."""

import contextlib
import json
import shutil

import numpy as np
import pytest

from holdfast.encode.cache import CachedEncoder
from holdfast.upgrade.foresight import scope
from holdfast.upgrade.order import read_rows
from holdfast.upgrade.project import Project
from tests.cli import toys
from tests.cli.conftest import make_home, snapshot

ITEMS, WORDS, QUERIES = 600, 300, 60
PRICES = """
currency = "EUR"
[models.default]
per_thousand_items = 10.0
[storage]
per_gb_month = 1.0
"""


@pytest.fixture
def large(home):
    """A gallery of which a tenth says something."""
    return enlarged(home)


@pytest.fixture(scope="module")
def assessed(tmp_path_factory):
    """Such a gallery, what `assess` says of it with slices and labels, and its words without."""
    made = enlarged(make_home(tmp_path_factory.mktemp("assessed") / "home"))
    data = made.data("assess", "--sample", "20%", "--slice", "lang", "--label", "lang")
    return made, data, made.done("assess", "--sample", "20%", "--slice", "lang")


def enlarged(home):
    rng = np.random.default_rng(0)
    home.documents, home.queries = {}, {}
    records, qrels = [], ""
    for row in range(ITEMS):
        drawn = [f"w{number}" for number in rng.choice(WORDS, size=12, replace=False)]
        home.documents[f"d{row}"] = " ".join(drawn)
        records.append(
            {"id": f"d{row}", "text": " ".join(drawn), "lang": "en" if row % 2 else "de"}
        )
        if row < QUERIES:
            home.queries[f"q{row}"] = " ".join(drawn[:3])
            qrels += f"q{row}\td{row}\t1\n"
    (home.folder / "docs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    (home.folder / "queries.jsonl").write_text(
        "".join(json.dumps({"id": q, "text": text}) + "\n" for q, text in home.queries.items())
    )
    (home.folder / "qrels.tsv").write_text(qrels)
    home.configure(judged=True)
    home.done("build")
    return home


def cells(data):
    return {f["cell"]: f for f in data["findings"] if f["metric"] == "R@10" and f["slice"] == "all"}


def recall(home, model):
    scores = model(list(home.queries.values())) @ model(list(home.documents.values())).T
    own = scores[np.arange(QUERIES), np.arange(QUERIES)]
    return float(((scores > own[:, None]).sum(axis=1) < 10).mean())


def test_old_is_measured_and_new_forecast(assessed):
    large, data, _ = assessed
    told = cells(data)
    assert list(told) == [
        "old/old",
        "bridged/old",
        *(f"mixed@{tenth}0%" for tenth in range(1, 10)),
        "new/new",
    ]
    assert told["old/old"]["value"] == pytest.approx(recall(large, toys.old))
    assert told["new/new"]["low"] <= recall(large, toys.new) <= told["new/new"]["high"]
    assert "forecast" in told["new/new"]["note"]
    assert data["facts"]["sample"] == 120
    assert data["facts"]["paid"] == 120 + QUERIES
    assert data["costs"]["sample"]["money"] is None
    assert "unknown" in data["costs"]["whole"]["note"]


def test_a_model_that_reads_nothing_is_not_worth_it(large):
    large.configure(new="awful", judged=True)
    data = large.data("assess", "--sample", "20%")
    assert data["verdict"] == "keep"
    assert cells(data)["new/new"]["value"] < 0.1


def test_what_was_sampled_is_not_paid_for_again(large):
    large.data("assess", "--sample", "20%")
    assert large.data("assess", "--sample", "20%")["facts"]["paid"] == 0
    project = Project(large.config)
    encoder = project.new_encoder
    assert isinstance(encoder, CachedEncoder)
    encoder.encode(list(large.documents.values()), "document")
    assert encoder.hits == 120
    encoder.encode(list(large.documents.values()), "document")
    assert encoder.hits == 240  # it is read, and does not grow
    large.done("plan")
    large.done("backfill")
    large.done("cutover")
    hits = large.found(large.queries["q3"])
    scores = toys.new([large.queries["q3"]]) @ toys.new(list(large.documents.values())).T
    assert hits[0][1] == pytest.approx(scores.max(), abs=1e-5)


def test_a_dry_run_asks_nothing_and_writes_nothing(large):
    (large.folder / "prices.toml").write_text(PRICES)
    before = snapshot(large.folder)
    data = large.data("assess", "--dry-run", "--sample", "20%")
    after = snapshot(large.folder)
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    assert [name for name in changed if "/stores/" not in name] == []  # opening one is noted there
    assert (data["sample"], data["queries"], data["items"]) == (120, QUERIES, ITEMS)
    assert data["cost"]["money"] == pytest.approx((120 + QUERIES) / 100)  # 10 for a thousand
    assert data["whole"]["money"] == pytest.approx(6.0)
    assert "Nothing was asked" in large.done("assess", "--dry-run", "--sample", "20%")


@pytest.mark.parametrize("judged", [True, False])
def test_a_budget_asks_as_a_sample_of_its_size_would_and_looks_once(large, judged, monkeypatch):
    texts = {name: f"{text[:9]}. {text}" for name, text in large.documents.items()}
    rows = ({"id": name, "text": text, "lang": "en"} for name, text in texts.items())
    (large.folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    large.configure(judged=judged)
    project, looked = Project(large.config), []

    def look(store):
        looked.append(store)
        return read_rows(store)

    monkeypatch.setattr(scope, "read_rows", look)
    with contextlib.closing(project.ledger()) as ledger:
        store = project.store(project.serving(ledger))
    with contextlib.closing(store):
        heard = []
        cut = scope.scope_of(project, store, 0.5, lambda asked: heard.append(asked) or 80)
        assert len(looked) == 1
        plain = scope.scope_of(project, store, 80 / ITEMS)
    assert len(heard) == 1
    assert len(heard[0]) == (QUERIES if judged else 150)  # as many as half of half the gallery
    assert len(cut.judgements) == (QUERIES if judged else 40)
    assert cut.judgements.qrels == plain.judgements.qrels
    assert cut.asked == plain.asked
    assert cut.answers == plain.answers
    assert cut.size == plain.size == 80
    np.testing.assert_array_equal(cut.rows, plain.rows)
    np.testing.assert_array_equal(cut.ids, plain.ids)


def test_a_budget_cuts_the_sample_and_needs_a_price(large):
    refused = large.run("assess", "--budget", "1")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "a known price" in refused.stderr
    (large.folder / "prices.toml").write_text(PRICES)
    paid = str((80 + QUERIES) / 100)  # queries are paid for too
    data = large.data("assess", "--dry-run", "--sample", "50%", "--budget", paid)
    assert data["sample"] == 80
    told = large.data("assess", "--sample", "50%", "--budget", paid)
    assert told["facts"]["paid"] == 80 + QUERIES
    assert told["costs"]["sample"]["money"] == pytest.approx(data["cost"]["money"])
    few = large.run("assess", "--budget", str(QUERIES / 200)).stderr
    assert f"expected more than the queries cost, got {QUERIES / 200:g}" in few
    assert "at least 50" in large.run("assess", "--budget", str((40 + QUERIES) / 100)).stderr


@pytest.mark.parametrize(
    ("option", "said"), [("--slice", "the field land"), ("--label", "the fields land")]
)
def test_a_field_that_no_item_has_is_refused_before_anything_is_paid_for(large, option, said):
    result = large.run("assess", "--sample", "20%", option, "land")
    assert (result.exit_code, result.stdout) == (2, "")
    words = f"assess: expected items with {said}, got none. Check {option}."
    assert words in result.stderr
    assert large.data("assess", "--sample", "20%")["facts"]["paid"] == 120 + QUERIES


def test_slices_are_told_by_a_payload_field(assessed):
    _, data, text = assessed
    named = sorted(f["slice"] for f in data["findings"] if f["slice"] != "all")
    assert named == ["lang=de", "lang=en"]  # each once, also the worst
    assert "lang=de" in text
    assert "cut-off on old scores" in text
    assert f"Verdict: {data['verdict']}." in text


def test_sampled_items_are_diagnosed(assessed):
    large, data, text = assessed
    looked = {f["metric"]: f for f in data["findings"] if f["cell"] == "old to new"}
    assert {"R2 of new from old", "neighbours kept@10", "knowledge of lang"} <= set(looked)
    assert looked["severity@1"]["n"] == looked["neighbours kept@10"]["n"] == 120
    assert "R2 of old from new" in text
    assert "severity@1" not in text
    refused = large.run("assess", "--sample", "20%", "--label", "genre")
    assert refused.exit_code == 2
    assert "genre" in refused.stderr


def test_a_gate_decides_the_exit_code(large):
    rule = '\n[[gate]]\nmetric = "R@10"\ncell = "new/new"\nat_least = {}\n'
    text = large.config.read_text()
    large.config.write_text(text + rule.format(0.99))
    result = large.run("assess", "--json", "--sample", "20%")
    assert result.exit_code == 1
    assert "gate failed: R@10 new/new" in result.stderr
    assert json.loads(result.stdout)["gate"][0]["verdict"] == "fail"
    large.config.write_text(text + rule.format(0.0))
    assert large.data("assess", "--sample", "20%")["gate"] == []


def test_a_gate_pauses_a_backfill_and_the_ledger_says_why(large):
    rule = '\n[[gate]]\ncell = "mixed@[1-9]*"\nat_least = 0.999\n'
    large.config.write_text(large.config.read_text() + rule)
    large.done("plan")
    data = large.data("backfill", code=1)
    assert data["state"] == "paused"
    assert data["findings"][-1]["cell"] == "mixed@10%"
    assert [f["cell"] for f in data["gate"]] == ["mixed@10%"]
    events = {event["kind"]: event["detail"] for event in large.data("status")["events"]}
    assert events["gate"]["why"].startswith("R@10 mixed@10% ")
    assert "must be at least 0.999" in events["gate"]["why"]


def test_without_judgements_documents_ask(large):
    large.configure()
    (large.folder / "prices.toml").write_text(PRICES)
    data = large.data("assess", "--sample", "30%")
    assert data["facts"]["questions"] == "made from documents"
    # The answers were read without their questions, so a backfill reads them again.
    assert (data["facts"]["sample"], data["facts"]["kept"]) == (180, 90)
    assert data["costs"]["rest"]["money"] == pytest.approx((ITEMS - 90) / 100)
    assert data["facts"]["queries"] == 90
    assert data["curve"]["metric"] == "nDCG@10"
    assert any("made from documents" in note for note in data["notes"])


def test_a_metric_may_look_at_more_than_was_sampled_or_is_there(home):
    for cut in (100, 200):  # of 120 items, 72 of them sampled
        home.configure(judged=True)
        home.config.write_text(home.config.read_text().replace('"R@10"', f'"R@{cut}"'))
        if cut == 100:
            home.done("build")
        found = home.data("assess", "--sample", "60%")["findings"]
        told = {f["cell"]: f for f in found if f["metric"] == f"R@{cut}"}
        scores = toys.old(list(home.queries.values())) @ toys.old(list(home.documents.values())).T
        own = np.diagonal(scores)
        there = ((scores > own[:, None]).sum(axis=1) < cut).mean()
        assert told["old/old"]["value"] == pytest.approx(there)
        assert told["new/new"]["high"] <= 1.0


def test_a_model_is_not_assessed_against_itself(home):
    home.configure(judged=True)
    home.done("build")
    text = home.config.read_text().replace("toys:new", "toys:old").replace("dim = 24", "dim = 16")
    home.config.write_text(text)
    for options in (("--sample", "60%"), ("--dry-run", "--sample", "60%")):
        said = home.refused("assess", *options)
        assert "assess: expected a new model other than tests.cli.toys:old" in said


@pytest.mark.parametrize("option", ["--worth", "--budget"])
def test_what_is_no_amount_is_refused(home, option):
    for bad in ("-1", "nan", "inf"):
        assert f"Invalid value for '{option}'" in home.refused("assess", option, bad)


def test_who_is_told_to_hold_is_told_what_would_settle_it(home):
    home.configure(judged=True)
    home.done("build")
    queries = home.folder / "queries.jsonl"
    queries.write_text("".join(queries.read_text().splitlines(keepends=True)[:5]))
    qrels = home.folder / "qrels.tsv"
    qrels.write_text("".join(qrels.read_text().splitlines(keepends=True)[:5]))
    for sample, wanted in (
        ("60%", "Name more judged queries, or allow a larger sample: --sample 100%."),
        ("100%", "Name more judged queries."),
    ):
        result = home.run("assess", "--sample", sample)
        assert result.stdout.startswith("Verdict: hold. 5 queries are too few")
        assert result.stdout.strip().endswith(wanted)


def test_nothing_is_assessed_while_an_upgrade_goes_on(large, home):
    large.done("plan")
    assert "no upgrade under way" in large.refused("assess")


def forgetful(texts):
    """As `toys.new`, and blind to the language."""
    kept = [" ".join(w for w in text.split() if not w.startswith("lang")) for text in texts]
    return toys.new(kept)


def test_a_better_model_that_forgot_a_language_is_held(large):
    records = []
    for row, (name, text) in enumerate(large.documents.items()):
        lang = "de" if row % 2 else "en"
        records.append({"id": name, "text": f"{text} {4 * f'lang{lang} '}", "lang": lang})
    folder = large.folder
    (folder / "docs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    large.configure(judged=True)
    config = large.config.read_text().replace("toys:new", "test_assess:forgetful")
    large.config.write_text(config.replace('gallery = "gallery"', ""))
    shutil.rmtree(folder / "gallery")
    large.done("build")
    data = large.data("assess", "--sample", "50%")
    lost = next(f for f in data["findings"] if f["metric"] == "knowledge of lang")
    assert (lost["verdict"], lost["value"] < -0.8) == ("fail", True)
    assert data["verdict"] == "hold"
    assert data["reasons"][0].startswith("Better on average, but look first at: knowledge of lang")
    text = large.done("assess", "--sample", "50%")
    assert "look" in next(line for line in text.splitlines() if "knowledge of lang" in line)
