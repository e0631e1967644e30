"""`holdfast plan --simulate`: a table for people, JSON for programs, nothing written."""

import json

from tests.cli.conftest import snapshot


def kept(home):
    return {k: v for k, v in snapshot(home.folder).items() if "/stores/" not in k}


def test_sizes_in_a_table_and_as_json(home):
    home.configure(more="workers = 1")
    home.done("build")
    before = kept(home)
    prices = home.folder.parent / "prices.toml"
    prices.write_text(
        'currency = "EUR"\n[models.default]\nper_million_tokens = 2\n'
        "items_per_minute = 6000\n[storage]\nper_gb_month = 0.25\n"
    )
    options = ("--simulate", "--sizes", "1e6,1e9", "--prices", str(prices), "--searches", "5")
    told = home.done("plan", *options, "--searchers", "2")
    lines = told.splitlines()
    assert "measured on" in lines[0]
    assert "120 of 120 items" in lines[0]
    (million,) = [line for line in lines if line.startswith("1,000,000 ")]
    assert " EUR" in million
    assert float(million.split()[1]) >= 2.8  # hours: 10,000 seconds by the provider's limit
    assert " h " in million
    assert "Assumed" in told
    data = home.data("plan", *options)
    first, second = data["sizes"]
    assert (first["items"], second["items"]) == (10**6, 10**9)
    # 100 items a second by the provider's limit, unless this machine is slower still.
    assert first["seconds"] >= 10_000 * 0.99
    assert second["seconds"] / first["seconds"] > 990
    assert data["works"]["items_per_second"] == 100.0
    assert first["storage"] > 1e6 * 4 * (16 + 24)
    assert kept(home) == before


def test_what_cannot_be_simulated_is_refused(home):
    home.refused("plan", "--simulate")
    home.done("build")
    for bad in ("", "1e6,x", "-3", "1e400"):
        result = home.run("plan", "--simulate", "--sizes", bad)
        assert result.exit_code == 2, bad
        assert "--sizes" in result.stderr
    result = home.run("plan", "--simulate", "--json", "--searchers", "0")
    assert json.loads(result.stderr or result.stdout)["error"] == "BadParameter"
    for option, bad in (
        ("--sample", "0"), ("--searches", "-1"), ("--searches", "nan"), ("--months", "-1"),
        ("--requests-per-second", "0"), ("--requests-per-second", "-2"),
        ("--losses-per-day", "-1"), ("--losses-per-day", "inf"), ("--restart", "-5"),
    ):  # fmt: skip
        assert f"Invalid value for '{option}'" in home.refused("plan", "--simulate", option, bad)
