"""Columns: what describes items, and what only names them."""

import numpy as np

from holdfast.measure.diagnose.columns import codes, columns, levels_of

ROWS = 200


def test_what_describes_is_kept_and_what_names_is_not():
    payloads = [
        {
            "id": f"x{row}",
            "lang": "de" if row % 2 else "en",
            "new": row % 4 == 0,
            "year": 1990 + row % 5,
            "length": row * 0.5,
            "tags": ["a"],
            "same": "always",
            "rare": "yes" if row < 3 else "no",
        }
        for row in range(ROWS)
    ]
    payloads[0] = None
    found = columns(payloads)
    assert list(found) == ["lang", "length", "new", "year"]
    assert len(np.unique(found["lang"])) == 3  # the missing one is a value of its own
    assert np.bincount(found["length"]).tolist() == [50, 50, 49, 50, 1]


def test_equal_values_of_two_types_are_two():
    assert len(np.unique(codes(["1"] * 30 + [1] * 30))) == 2


def test_levels_keep_every_value():
    payloads = [{"domain": row % 3, "kind": row} for row in range(9)] + [{}]
    domain, kind = levels_of(payloads, ["domain", "kind"])
    assert (len(np.unique(domain)), len(np.unique(kind))) == (4, 10)
    assert levels_of(payloads, ["nothing"]) is None
    assert levels_of(payloads, []) == []
