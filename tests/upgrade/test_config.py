"""holdfast.toml and the plan: strict, and clear about what is wrong."""

from __future__ import annotations

import re

import pytest

from holdfast.errors import ConfigError
from holdfast.upgrade.config import read_config
from holdfast.upgrade.plan import Plan, refuse_unread

GOOD = """
version = 1
[source]
kind = "jsonl"
path = "d.jsonl"
[old]
encoder = "wordllama"
dim = 256
[new]
encoder = "http"
token_env = "TOKEN"
[upgrade]
order = "newest"
rate = 5.5
"""


def test_a_good_file_is_read_with_its_defaults(tmp_path):
    path = tmp_path / "holdfast.toml"
    path.write_text(GOOD)
    config = read_config(path)
    assert config.store.kind == "edge"
    assert config.old.options == {"dim": 256}
    assert config.new.options == {"token_env": "TOKEN"}
    assert config.upgrade == Plan(order="newest", rate=5.5)
    assert config.judgements is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("version = 1", "version = 2"), r"version: .*got 2"),
        (('order = "newest"', 'oder = "newest"'), r"upgrade\.oder: expected a known setting"),
        (('order = "newest"', 'order = "oldest"'), r"upgrade\.order: .*'random'.*got 'oldest'"),
        (("rate = 5.5", 'rate = "fast"'), r"upgrade\.rate: .*got 'fast'"),
        (("rate = 5.5", "rate = -1.0"), r"upgrade\.rate: .*greater than or equal to 0"),
        (("[source]", "[sauce]"), r"a known setting|source: .*required"),
        (("version = 1", "version = 1 1"), r"readable TOML"),
        (("[upgrade]", 'colour = "red"\n[upgrade]'), None),  # an option of the encoder
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, message):
    path = tmp_path / "holdfast.toml"
    path.write_text(GOOD.replace(*change))
    if message is None:
        assert read_config(path).new.options["colour"] == "red"
        return
    with pytest.raises(ConfigError, match=message):
        read_config(path)


@pytest.mark.parametrize(
    ("table", "fix"),
    [("source", 'kind = "jsonl" and path'), ("old", 'encoder = "'), ("new", 'encoder = "')],
)
def test_a_table_that_is_missing_is_shown(tmp_path, table, fix):
    path = tmp_path / "holdfast.toml"
    path.write_text(re.sub(rf"\[{table}\][^[]*", "", GOOD))
    with pytest.raises(ConfigError) as refused:
        read_config(path)
    said = f"holdfast.toml: {table}: expected a table, [{table}], got none. Add lines to it: "
    assert str(refused.value).startswith(f"{said}[{table}], and below that {fix}")


def test_no_file_says_how_to_write_one(tmp_path):
    with pytest.raises(ConfigError, match="holdfast init"):
        read_config(tmp_path / "holdfast.toml")


def test_a_plan_is_as_strict_as_the_file():
    assert Plan(workers=2).workers == 2
    with pytest.raises(ConfigError, match="plan: worker: expected a known setting"):
        Plan(worker=2)
    with pytest.raises(ConfigError, match="workers"):
        Plan(workers="2")
    for setting in ("rate", "backoff", "yield_above", "holdover_hours"):
        for value in ("inf", "nan"):  # which TOML can write
            with pytest.raises(ConfigError, match=f"plan: {setting}: expected .*finite number"):
                Plan(**{setting: float(value)})


@pytest.mark.parametrize(
    ("setting", "value", "beside"),
    [
        ("actors", 2, {"executor": "ray"}),  # although it is the default
        ("address", "auto", {"executor": "ray"}),
        ("cpus", 4.0, {"executor": "ray"}),
        ("gpus", 1.0, {"executor": "ray"}),
        ("calibrator", "quantile", {"merge": "calibrated"}),
    ],
)
def test_a_setting_that_nothing_reads_is_refused_when_it_is_planned(setting, value, beside):
    (other,) = beside
    with pytest.raises(ConfigError, match=f"^plan: {setting}: expected it beside {other}"):
        refuse_unread(Plan(**{setting: value}))
    refuse_unread(Plan(**{setting: value}, **beside))


def test_workers_are_threads_and_not_actors():
    refuse_unread(Plan(workers=2))
    with pytest.raises(ConfigError, match="workers: expected it beside executor = 'threads'"):
        refuse_unread(Plan(workers=2, executor="ray"))
