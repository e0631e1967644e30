"""Hashed records: stable everywhere, apart by field, and extended without moving anything."""

import subprocess
import sys

import numpy as np
import pytest

from holdfast.encode.check import encoder_checks
from holdfast.encode.records import RecordsEncoder, read_record, rows_of, signs_of
from holdfast.errors import ConfigError, EncoderError
from holdfast.space import relation

RNG = np.random.default_rng(0)
FIELDS = ("brand", "colour", "size")
RECORDS = [
    {"brand": f"b{RNG.integers(40)}", "colour": f"c{RNG.integers(9)}", "size": int(RNG.integers(5))}
    for _ in range(200)
]
VALUES = [f"value {n}" for n in range(10_000)]
GOLDEN = [148708, 243487, 2698]  # of the first three, kept for other machines


def test_rows_of_ten_thousand_values_are_the_same_in_another_process():
    code = (
        "from holdfast.encode.records import rows_of; import hashlib;"
        "rows = rows_of('field', 2, [f'value {n}' for n in range(10_000)], 1_000_003, 's');"
        "print(hashlib.sha256(rows.tobytes()).hexdigest(), int(rows.sum()))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONHASHSEED": "1"},
    ).stdout.split()  # fmt: skip
    rows = rows_of("field", 2, VALUES, 1_000_003, "s")
    assert int(told[1]) == int(rows.sum())
    assert rows[:3].tolist() == GOLDEN


def test_two_fields_and_two_chunks_share_no_rows_but_by_chance():
    rows = {key: rows_of(*key, VALUES, 100_000) for key in (("a", 0), ("b", 0), ("a", 1))}
    for one, other in ((("a", 0), ("b", 0)), (("a", 0), ("a", 1))):
        assert (rows[one] == rows[other]).mean() < 0.001
    assert np.bincount(rows["a", 0] // 10_000).std() < 120  # ten bins of a thousand


def test_scores_count_the_fields_that_agree():
    rows = RecordsEncoder(FIELDS, 512).encode(RECORDS, "document").array
    agree = np.array([[sum(a[f] == b[f] for f in FIELDS) / 3 for b in RECORDS] for a in RECORDS])
    assert np.abs(rows @ rows.T - agree).max() < 0.12
    one = RecordsEncoder(FIELDS, 32).encode(RECORDS, "document").array
    two = RecordsEncoder(FIELDS * 2, 32).encode(RECORDS, "document").array
    error = [np.abs(r @ r.T - agree).mean() for r in (one, two)]
    assert 1.2 < error[0] / error[1] < 1.7  # another chunk: sqrt(2) times less by chance


@pytest.mark.parametrize("more", [("brand",), ("made_in",), ("brand", "made_in")])
def test_a_chunk_or_a_field_more_changes_no_coordinate(more):
    old = RecordsEncoder(FIELDS, 16)
    new = RecordsEncoder(FIELDS + more, 16, extends=3)
    assert relation(new.space, old.space) == "extends"
    records = [{**record, "made_in": "here"} for record in RECORDS]
    few, many = (e.encode(records, "document").array for e in (old, new))
    assert np.array_equal(np.sign(many[:, :48]), np.sign(few))
    block = signs_of("brand", 1, records[0]["brand"], 16)
    if more[0] == "brand":
        assert np.array_equal(np.sign(many[0, 48:64]), block)
        assert not np.array_equal(block, signs_of("brand", 0, records[0]["brand"], 16))


@pytest.mark.parametrize("check", encoder_checks(), ids=str)
def test_contract(check):
    contents = ["brand=a; size=1", '{"brand": "b", "size": 1}', "size=2", "brand=b"]
    check(lambda: RecordsEncoder(FIELDS, 16), contents)


def test_records_are_read_in_any_of_their_forms():
    wanted = {"brand": "acme", "size": "4"}
    for form in ("brand=acme; size=4", '{"brand": "acme", "size": 4}', {"brand": "acme", "size": 4},
                 "brand = acme ;size=4;colour="):  # fmt: skip
        assert read_record(form) == wanted
    for wrong in ("acme", "{", [1], {"brand": ["a"]}):
        with pytest.raises(EncoderError):
            read_record(wrong)
    with pytest.raises(EncoderError):  # no field that the layout knows
        RecordsEncoder(FIELDS).encode([{"weight": 3}], "query")
    with pytest.raises(ConfigError):
        RecordsEncoder(FIELDS, extends=3)
