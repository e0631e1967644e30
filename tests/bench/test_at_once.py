"""Files that a bench keeps are whole, whenever it is cut off."""

from __future__ import annotations

import numpy as np
import pytest

from bench.at_once import at_once
from bench.cross_cells import Cells
from bench.order_curves import Curves


def _cut_off(path):
    with at_once(path) as partial:
        partial.write_text("sec")
        raise KeyboardInterrupt


def test_a_file_that_was_cut_off_leaves_what_was_there(tmp_path):
    path = tmp_path / "new" / "kept.json"
    with at_once(path) as partial:
        partial.write_text("first")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt):
        _cut_off(path)
    assert path.read_text() == "first"
    with at_once(path) as partial:
        partial.write_text("second")
    assert path.read_text() == "second"
    assert [each.name for each in path.parent.iterdir()] == ["kept.json"]


@pytest.fixture
def cut_off(monkeypatch):
    """Saving dies after the first bytes."""

    def save(path, *given, **more):
        with open(path, "wb") as file:
            file.write(b"PK")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", save)
    monkeypatch.setattr(np, "savez", save)


def test_ranks_are_not_half_saved(tmp_path, cut_off, monkeypatch):
    cells, path = Cells({"old/old": {"i2t": np.arange(3)}}, {"n": 3}), tmp_path / "rows.npz"
    with pytest.raises(KeyboardInterrupt):
        cells.save(path)
    assert not path.exists()
    monkeypatch.undo()
    cells.save(path)
    again = Cells.load(path)
    assert again.told == {"n": 3}
    assert again.ranks["old/old"]["i2t"].tolist() == [0, 1, 2]


def test_curves_are_not_half_saved(tmp_path, cut_off, monkeypatch):
    monkeypatch.setattr("bench.order_curves.curve", lambda *given: np.eye(2))

    class Table:
        class judged:  # noqa: N801
            class new_queries:  # noqa: N801
                array = np.ones(2)

    with pytest.raises(KeyboardInterrupt):
        Curves(tmp_path)(Table, np.arange(3), [0.5])
    assert list(tmp_path.iterdir()) == []
