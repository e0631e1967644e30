"""One half of a gallery that is older than the other: a store that came back from a copy."""

import pytest

from holdfast.errors import StoreError, UpgradeError
from holdfast.items import Item
from holdfast.upgrade.gallery import Gallery
from tests.upgrade.setup import Setup
from tests.upgrade.toys import Clock

EVERY = 60


@pytest.fixture
def setup(tmp_path):
    return Setup(tmp_path, EVERY)


def reopened(setup, caplog):
    """The gallery as another process opens it, and what it says."""
    caplog.clear()
    setup.gallery = Gallery(setup.gallery.old, setup.gallery.new, setup.ledger, clock=Clock(2000))
    return caplog.text


def found(setup):
    """Ids in the order of a search for everything."""
    hits = setup.gallery.search(list(setup.items.values())[:1], 3 * EVERY)
    return sorted(name for name in hits.ids[0] if name)


def hidden(store):
    rows = store.scan(limit=EVERY).rows
    return [name for name, away in zip(rows.ids, rows.hidden, strict=True) if away]


def test_a_gallery_that_adds_up_says_nothing_and_is_not_scanned(setup, caplog):
    setup.engine().run(0.5)
    assert reopened(setup, caplog) == ""
    setup.engine().run()
    assert reopened(setup, caplog) == ""
    setup.engine().cut_over()
    assert reopened(setup, caplog) == ""
    setup.engine().finish()
    assert reopened(setup, caplog) == ""
    assert "reconciled" not in [kind for _, kind, _ in setup.ledger.events()]


@pytest.mark.parametrize("half", ["old", "new"])
def test_a_backfill_first_looks_for_what_an_older_half_lacks(setup, caplog, half):
    setup.engine().run(0.5)
    moved = hidden(setup.old)
    if half == "old":
        setup.old.unhide(moved[:7])  # before they moved
    else:
        setup.new.delete(moved[:7])  # before they came
    assert f"7 of {EVERY} items are not found once" in reopened(setup, caplog)
    setup.engine().run(0.5)
    assert found(setup) == sorted(setup.items)
    assert reopened(setup, caplog) == ""
    setup.engine().run()
    assert not setup.engine().cut_over()  # nothing was left for it to find
    assert found(setup) == sorted(setup.items)


@pytest.mark.parametrize("older", ["without them", "as they were before"])
def test_what_the_new_side_lost_after_the_cut_over_holds_up_the_finish(setup, caplog, older):
    setup.engine().run()
    setup.engine().cut_over()
    names = list(setup.items)[1:6]
    rows = setup.new.get(names)
    setup.new.delete(names)
    if older == "without them":
        assert f"5 of {EVERY} items are not found once" in reopened(setup, caplog)
    else:
        setup.new.upsert(names, rows.vectors, rows.payloads, rows.revisions - 1)
    for word in (False, True):
        with pytest.raises(UpgradeError, match=rf"5 that .*{names[0]!r}: .* cut off\. Roll back"):
            setup.engine().finish(leave_behind=word)
    assert setup.gallery.state == "cut over"
    setup.engine().roll_back()
    assert found(setup) == sorted(setup.items)


@pytest.mark.parametrize("older", ["without them", "as they were before"])
def test_what_the_old_side_lost_after_the_cut_over_holds_up_the_rollback(setup, caplog, older):
    setup.engine().run()
    setup.engine().cut_over()
    names, before = list(setup.items)[1:6], setup.old.get(list(setup.items)[1:6])
    written = [Item(name, setup.items[name], {"n": 1}) for name in names]
    setup.gallery.upsert(written)
    setup.old.delete(names)  # a copy made before the write
    if older == "without them":
        assert f"5 of {EVERY - 5} items are not found once" in reopened(setup, caplog)
        assert "write again what the old side lacks, or finish" in caplog.text
    else:
        setup.old.upsert(names, before.vectors, before.payloads, before.revisions)
        setup.old.hide(names)
    with pytest.raises(
        UpgradeError, match=rf"5 that are not, such as {names[0]!r}: .* copy\. Restore a newer one"
    ):
        setup.engine().roll_back()
    assert setup.gallery.state == "cut over"
    assert found(setup) == sorted(setup.items)
    setup.gallery.upsert(written)
    setup.engine().roll_back()
    assert found(setup) == sorted(setup.items)
    assert setup.gallery.get(names).payloads == [{"n": 1}] * 5


def test_an_old_side_without_items_is_not_taken_for_a_whole_one(setup):
    setup.engine().run()
    setup.engine().cut_over()
    setup.old.delete(list(setup.items))
    with pytest.raises(UpgradeError, match=f"{EVERY} that are not.*or finish"):
        setup.engine().roll_back()
    setup.engine().finish()
    assert found(setup) == sorted(setup.items)


def test_a_delete_that_a_failure_cut_off_does_not_hold_up_the_rollback(setup):
    setup.engine().run()
    setup.engine().cut_over()
    delete, failed = setup.new.delete, [StoreError("new", "a disk", "none")]
    setup.new.delete = lambda ids: (_ for _ in ()).throw(failed.pop()) if failed else delete(ids)
    with pytest.raises(StoreError):
        setup.gallery.delete(["i1"])  # gone from the old side, and journalled
    setup.engine().roll_back()
    assert found(setup) == sorted(set(setup.items) - {"i1"})


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_an_old_store_that_was_dropped_too_early_does_not_empty_the_new_one(setup, share):
    setup.engine().run(share)
    setup.old.delete(list(setup.items))
    moved = len(setup.new)
    step = setup.engine().run if share < 1.0 else setup.engine().cut_over
    with pytest.raises(UpgradeError, match=f"none, beside {moved} .* cut-over\\. "):
        step()
    assert len(setup.new) == moved > 0


def test_a_gallery_that_was_emptied_through_itself_is_reconciled(setup):
    setup.engine().run(0.5)
    setup.gallery.delete(list(setup.items))
    assert setup.engine().run().state == "ready"
    assert not setup.engine().cut_over()
