"""The benchmark compares like with like."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench.few_shot import CPE, OFF, RECIPE, TEXT, Seed, methods
from bench.few_shot_worlds import digits, model_of


@pytest.fixture(scope="module")
def seed(tmp_path_factory):
    world = digits(quick=True)
    clip, tokenize, _ = model_of(world, tmp_path_factory.mktemp("cache"))
    return Seed(world, (clip, tokenize), 0)


@pytest.fixture(scope="module")
def found(seed):
    return methods(seed)


def test_sessions_have_all_classes_once(seed):
    assert seed.classes == [60] + [5] * 8
    assert sorted(seed.order) == sorted(set(seed.world.test[1]))
    shown = [set(seed.world.train[1][task.items]) for task in seed.scenario.tasks]
    assert [len(task.items) for task in seed.scenario.tasks] == [60 * 12] + [25] * 8
    assert shown == [set(step) for step in seed.steps]


def test_scaling_the_rate_is_all_that_differs_and_not_before_the_second_session(found):
    on, off = found[CPE], found[OFF]
    np.testing.assert_array_equal(on.rows[0], off.rows[0])
    np.testing.assert_array_equal(on.names[0], off.names[0])
    moved = [np.abs(one.rows[1] - one.rows[0]).max() for one in (on, off)]
    assert 0.0 < moved[0] < moved[1]
    assert on.parameters == off.parameters > found[TEXT].parameters > 0
    assert RECIPE.lr_scale == "class_ratio"


def test_a_gallery_of_pictures_without_prompts_never_needs_to_be_made_again(seed, found):
    cells = seed.galleries(found[TEXT])
    assert cells["picture to pictures"].kept() == 0.0
    assert cells["name to pictures"].missed() == 0.0
    for name in ("zero-shot", "image prototypes", "TEEN"):
        assert found[name].parameters == 0
        assert all(rows is found[name].rows[0] for rows in found[name].rows)
    moving = seed.galleries(found[OFF])["picture to pictures"]
    assert any(not np.array_equal(moving.cross[8, s], moving.own[8, s]) for s in range(8))
