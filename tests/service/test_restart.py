"""A service that is started again while an upgrade is under way."""

from holdfast.errors import StoreError
from holdfast.upgrade import mixed
from holdfast.upgrade.gallery import Gallery


def test_what_searches_need_is_learned_before_the_first_one(planned, opened, monkeypatch):
    """Learning takes a second or two on a real gallery, which no search should pay."""
    planned.done("backfill", "--until", "50%")
    learned, fusion = [], mixed.Fusion
    monkeypatch.setattr(mixed, "Fusion", lambda *given: learned.append(1) or fusion(*given))
    client = opened(planned)
    assert learned == [1]
    first = client.ids(planned.queries["q0"])
    assert learned == [1]
    monkeypatch.setattr(mixed.Mixed, "ranked", lambda self, found, k, *known: found.by_old(k))
    assert first != client.ids(planned.queries["q0"])  # it was answered by what was learned


def test_nothing_is_learned_where_one_side_is_read(planned, opened, monkeypatch):
    monkeypatch.setattr(mixed, "Fusion", None)
    client = opened(planned)
    assert client.ids(planned.queries["q0"], 1) == ["d0"]


def test_what_cannot_be_learned_does_not_keep_a_service_from_starting(
    planned, opened, monkeypatch, caplog
):
    def fails(gallery):
        raise StoreError("the new side", "rows", "none for now")

    planned.done("backfill", "--until", "50%")
    with monkeypatch.context() as patch:
        patch.setattr(Gallery, "learn", fails)
        client = opened(planned)
    assert "none for now" in caplog.text
    assert client.ids(planned.queries["q0"], 1) == ["d0"]
