"""Ways for two directions: planted models, a slow recall, and what must never be served."""

import numpy as np
import pytest

from holdfast.align.base import Aligner
from holdfast.align.crossing import DEPTHS, OLD, Candidate, Support, Way, cross
from holdfast.align.linear import Ridge
from holdfast.align.procrustes import Procrustes
from holdfast.align.recall import found
from holdfast.align.spherical import Interpolation
from holdfast.arrays import Vectors, as_vectors
from holdfast.errors import BelowStatusQuo, InvalidInput, WrongSpace
from holdfast.space import Space

OLD_SPACE, NEW_SPACE = Space("old", 12), Space("new", 20)
LADDER = (Procrustes(center=False),)


def world(old_noise, new_noise, text_noise=0.0, seed=0, count=300):
    """Pictures with two captions each, seen by two models of the same hidden meaning."""
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(count, 10))
    captions = [[2 * i, 2 * i + 1] for i in range(count)]
    told = np.repeat(meaning, 2, axis=0)
    frames = {
        space: np.linalg.qr(rng.normal(size=(space.dim, 10)))[0].T
        for space in (OLD_SPACE, NEW_SPACE)
    }

    def seen(space, rows, noise):
        made = (rows + noise * rng.normal(size=rows.shape)) @ frames[space]
        return as_vectors(made, space, "test")

    texts = rng.normal(size=(400, 10))
    support = Support(
        seen(OLD_SPACE, meaning, old_noise),
        seen(OLD_SPACE, told, 0.3),
        seen(NEW_SPACE, meaning, new_noise),
        seen(NEW_SPACE, told, text_noise),
        captions,
    )
    return seen(NEW_SPACE, texts, 0.0), seen(OLD_SPACE, texts, 0.0), support


def test_a_better_new_model_is_taken_in_both_directions():
    chosen = cross(*world(old_noise=1.5, new_noise=0.3), LADDER)
    for direction in ("I2T", "T2I"):
        table = {rung.name: rung for rung in chosen.tables[direction]}
        assert list(table) == [OLD, "procrustes", "procrustes + slerp", "procrustes + adaptive"]
        assert table[OLD].over.value == 0.0
        (taken,) = [rung for rung in table.values() if rung.chosen]
        assert taken.name == chosen[direction].name
    assert chosen["I2T"].name != OLD
    assert chosen.tables["I2T"][1].over.low > 0.05
    assert "chosen" in str(chosen)


def test_a_worse_new_model_is_never_served():
    chosen = cross(*world(old_noise=0.3, new_noise=3.0, text_noise=3.0), LADDER)
    assert {d: way.name for d, way in chosen.ways.items()} == {"I2T": OLD, "T2I": OLD}
    old = as_vectors(np.eye(12), OLD_SPACE, "t")
    assert chosen["I2T"].queries(old) is old


def test_directions_are_chosen_apart():
    """New captions are noise, new pictures are not."""
    chosen = cross(*world(old_noise=1.5, new_noise=0.2, text_noise=4.0), LADDER)
    assert chosen["I2T"].name != OLD
    assert chosen["T2I"].name == OLD


def test_what_is_served_is_what_was_measured():
    new_texts, old_texts, support = world(1.2, 0.8)
    chosen = cross(new_texts, old_texts, support, LADDER)
    way = next(
        Way("x", chosen["I2T"].bridge, Interpolation(a)) for a in (0.5,) if chosen["I2T"].bridge
    )
    asked = way.queries(support.old_images, support.new_images)
    mapped = way.bridge.transform(support.new_images)
    middle = support.old_images.array + mapped.array
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    np.testing.assert_allclose(asked.array, middle, atol=1e-5)
    alone = Way("y", way.bridge).queries(new=support.new_images)
    np.testing.assert_array_equal(alone.array, mapped.array)
    with pytest.raises(InvalidInput, match="old and new queries"):
        way.queries(new=support.new_images)


def test_captions_that_say_the_same_make_nothing_surer():
    new, old, s = world(1.0, 0.2, count=80)
    told = np.arange(80)
    once, five = (
        Support(
            s.old_images,
            s.old_texts.take(np.repeat(2 * told, times)),
            s.new_images,
            s.new_texts.take(np.repeat(2 * told, times)),
            np.arange(80 * times).reshape(80, times).tolist(),
        )
        for times in (1, 5)
    )
    tables = [cross(new, old, support, LADDER).tables["T2I"] for support in (once, five)]
    for plain, said in zip(*tables, strict=True):
        assert (said.over.low, said.over.high) == pytest.approx((plain.over.low, plain.over.high))
        assert (said.value.low, said.value.high) == pytest.approx(
            (plain.value.low, plain.value.high)
        )


def test_the_halves_share_no_picture():
    _, _, support = world(1, 1)
    a, b = support.halves(seed=3)
    assert not set(a) & set(b)
    assert sorted([*a, *b]) == list(range(300))


def test_without_the_old_model_nothing_is_joined_with_it():
    chosen = cross(*world(0.3, 3.0), [Procrustes(center=False), Ridge()], alive=False)
    for direction in ("I2T", "T2I"):
        assert [r.name for r in chosen.tables[direction]] == [OLD, "procrustes", "ridge"]
        assert chosen[direction].name != OLD
        assert chosen[direction].join is None


def test_ways_are_judged_as_the_old_gallery_compares():
    space, rng = Space("old", 4, "euclidean"), np.random.default_rng(0)
    rows = rng.normal(size=(60, 4)) * rng.uniform(0.3, 3.0, size=(60, 1))
    images, texts = (as_vectors(rows + 1e-3 * shift, space, "test") for shift in (0.0, 1.0))
    new = as_vectors(rows, Space("new", 4), "test")
    support = Support(images, texts, new, new, [[i] for i in range(60)])
    exact = [Candidate("exact", images, texts)]
    chosen = cross(new, texts, support, ladder=(), more=exact, alive=False)
    for direction in ("I2T", "T2I"):
        assert chosen.tables[direction][1].value.value == 1.0  # by products 0.7


def test_a_bridge_that_finds_nothing_is_refused_where_nothing_else_is_left():
    new_texts, old_texts, support = world(0.3, 0.3)

    class Opposite(Procrustes):
        def _map(self, X):
            return -super()._map(X)

    assert issubclass(Opposite, Aligner)
    with pytest.raises(BelowStatusQuo):
        cross(new_texts, old_texts, support, [Opposite(center=False)], alive=False)


def test_richer_ways_made_elsewhere_climb_the_same_ladder():
    new_texts, old_texts, support = world(1.5, 1.5)
    perfect = Candidate("adapted", _mean(support.old_texts, support), support.old_texts)
    chosen = cross(new_texts, old_texts, support, LADDER, more=[perfect])
    assert chosen["I2T"].name.startswith("adapted")


def _mean(texts: Vectors, support: Support) -> Vectors:
    rows = np.stack([texts.array[own].mean(axis=0) for own in support.captions])
    return as_vectors(rows, texts.space, "t")


def test_support_that_makes_no_sense_is_refused():
    _, _, s = world(1, 1)
    with pytest.raises(InvalidInput, match="a caption or more"):
        Support(s.old_images, s.old_texts, s.new_images, s.new_texts, [[]] * 300)
    with pytest.raises(InvalidInput, match="below 600"):
        Support(s.old_images, s.old_texts, s.new_images, s.new_texts, [[600]] * 300)
    with pytest.raises(InvalidInput, match="as many pictures"):
        Support(s.old_images, s.old_texts, s.new_images.take(slice(9)), s.new_texts, s.captions)
    with pytest.raises(WrongSpace):
        Support(s.old_images, s.new_texts, s.new_images, s.new_texts, s.captions)
    with pytest.raises(InvalidInput, match="at least one aligner"):
        cross(s.new_texts, s.old_texts, s, [])


def test_the_share_of_a_query_is_chosen_on_all_its_right_rows():
    """As a slow search over every share says."""
    _, _, s = world(1.0, 1.0)
    bent = as_vectors(np.roll(s.old_images.array, 1, axis=1), OLD_SPACE, "t")
    right = [np.array(own) for own in s.captions]
    got = Interpolation.fit(s.old_images, bent, s.old_texts, right, "slerp", DEPTHS)
    asked = [Interpolation(a / 10).between(s.old_images, bent).array for a in range(11)]
    values = [found(rows, s.old_texts.array, right, DEPTHS).mean() for rows in asked]
    assert got.score == pytest.approx(max(values), abs=1e-12)
    assert got.alpha == round(0.1 * int(np.argmax(values)), 1)
