"""Methods without training, against class rows made in loops, and what all methods refuse."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from holdfast.errors import InvalidInput, NotFitted  # noqa: E402
from holdfast.train.few_shot.base import sessions  # noqa: E402
from holdfast.train.few_shot.blend import Blend, best_weight  # noqa: E402
from holdfast.train.few_shot.prototypes import Prototypes, Teen  # noqa: E402
from holdfast.train.few_shot.zero_shot import ZeroShot  # noqa: E402
from holdfast.train.interface import Interface  # noqa: E402
from holdfast.train.scenarios import few_shot  # noqa: E402
from tests.train.few_shot.towers import Table, unit  # noqa: E402

NAMES = [f"c{n}" for n in range(7)]
STEPS = [NAMES[:4], ["c5", "c4"], ["c6"]]
ORDER = [name for step in STEPS for name in step]
RNG = np.random.default_rng(3)
CENTRES = RNG.normal(size=(7, 6))
LABELS = np.repeat(NAMES, 10)
ROWS = (np.repeat(CENTRES, 10, axis=0) + 0.8 * RNG.normal(size=(70, 6))).astype(np.float32)
WORDS = {
    name: (centre + 0.7 * RNG.normal(size=6)).tolist()
    for name, centre in zip(NAMES, CENTRES, strict=True)
}
SCENARIO = few_shot(LABELS, Interface("x", capacity=8), STEPS, shots=3, seed=1)
TEST = (np.repeat(CENTRES, 5, axis=0) + 0.8 * RNG.normal(size=(35, 6))).astype(np.float32)


def ran(method):
    """Predictions of the test rows after each session, as names."""
    return [
        [done.classes[place] for place in done.predict(torch.from_numpy(TEST))]
        for done in sessions(method, torch.from_numpy(ROWS), SCENARIO)
    ]


def nearest(rows):
    """Names of the nearest class rows, in a loop."""
    return [
        max(rows, key=lambda name: float(unit(row) @ unit(rows[name]))) for row in TEST.tolist()
    ]


def means():
    """Class -> mean of the unit rows it was learned from, of length one."""
    found = {}
    for task in SCENARIO.tasks:
        for name in task.classes:
            own = [item for item in task.items if LABELS[item] == name]
            found[name] = unit(unit(ROWS[own]).mean(axis=0))
    return found


def calibrated(pull, sharpness):
    rows = means()
    base, found = STEPS[0], {}
    for name, row in rows.items():
        if name in base:
            found[name] = row
            continue
        weights = [math.exp(sharpness * float(row @ rows[b])) for b in base]
        mixed = sum(w * rows[b] for w, b in zip(weights, base, strict=True)) / sum(weights)
        found[name] = unit((1 - pull) * row + pull * mixed)
    return found


def test_zero_shot_is_the_nearest_name():
    towers = Table(WORDS)
    answers = ran(ZeroShot(towers, templates=("{}.", "{}!")))
    for done, known in zip(answers, (4, 6, 7), strict=True):
        assert done == nearest({name: WORDS[name] for name in ORDER[:known]})
    assert towers.asked[:8] == [f"{n}." for n in NAMES[:4]] + [f"{n}!" for n in NAMES[:4]]


def test_several_templates_are_averaged_as_unit_rows():
    towers = Table({"x a": [2.0, 0.0], "y a": [0.0, 1.0], "x b": [1.0, 0.0], "y b": [1.0, 0.0]})
    made = ZeroShot(towers, templates=("x {}", "y {}")).fit_session(
        torch.eye(2), [0, 1], ["a", "b"]
    )
    expected = [[math.sqrt(0.5)] * 2, [1.0, 0.0]]
    torch.testing.assert_close(made.class_vectors(), torch.tensor(expected))


def test_prototypes_are_means_of_what_was_shown():
    answers = ran(Prototypes(Table(WORDS)))
    rows = means()
    for done, known in zip(answers, (4, 6, 7), strict=True):
        assert done == nearest({name: rows[name] for name in ORDER[:known]})


@pytest.mark.parametrize(("pull", "sharpness"), [(0.1, 16.0), (0.6, 4.0)])
def test_teen_pulls_later_prototypes_to_base_ones(pull, sharpness):
    method = Teen(Table(WORDS), pull, sharpness)
    assert ran(method)[-1] == nearest(calibrated(pull, sharpness))
    expected = np.stack([calibrated(pull, sharpness)[name] for name in ORDER])
    np.testing.assert_allclose(method.class_vectors().numpy(), expected, atol=1e-5)


def test_the_blend_is_names_and_calibrated_prototypes():
    method = Blend(Table(WORDS), weight=0.3)
    ran(method)
    rows = calibrated(0.1, 16.0)
    expected = [unit(0.3 * unit(WORDS[name]) + 0.7 * rows[name]) for name in ORDER]
    np.testing.assert_allclose(method.class_vectors().numpy(), expected, atol=1e-5)


def test_descriptions_make_half_of_a_name():
    towers = Table({"a": [1.0, 0.0, 0.0], "d": [0.0, 1.0, 0.0], "e": [0.0, 0.0, 1.0]})
    method = Blend(towers, weight=1.0, descriptions={"a": ["d", "e"]})
    method.fit_session(torch.eye(3)[:1], [0], ["a"])
    expected = unit([0.5, 0.25, 0.25])
    np.testing.assert_allclose(method.class_vectors()[0].numpy(), expected, atol=1e-6)


def test_the_weight_is_found_on_the_base_session():
    rows = torch.from_numpy(unit(ROWS[:40]).astype(np.float32))
    labels = torch.arange(40) // 10
    named = torch.from_numpy(unit([WORDS[n] for n in NAMES[:4]]).astype(np.float32))
    # the 1st, 3rd, ... picture of each class makes prototypes, the others are told apart
    right = {}
    for step in range(21):
        weight, hits = step / 20, 0
        for n in range(40):
            if n % 2 == 0:
                continue
            scores = []
            for c in range(4):
                seen = unit(unit(ROWS[10 * c : 10 * c + 10 : 2]).mean(axis=0))
                scores.append(
                    float(unit(ROWS[n]) @ unit(weight * named[c].numpy() + (1 - weight) * seen))
                )
            hits += int(np.argmax(scores)) == n // 10
        right[weight] = hits
    best = [weight for weight, hits in right.items() if hits == max(right.values())]
    assert best_weight(rows, labels, named) == pytest.approx(best[len(best) // 2])
    assert 1 <= len(best) < 21
    method = Blend(Table(WORDS))
    ran(method)
    assert method.weight == pytest.approx(best[len(best) // 2])


def test_rows_of_a_gallery_are_those_of_the_towers():
    method = Prototypes(Table(WORDS), size=4).fit_session(torch.eye(6)[:2], [0, 1], ["a", "b"])
    np.testing.assert_allclose(method.vectors(torch.from_numpy(TEST)), unit(TEST), atol=1e-6)
    assert method.nearest(np.eye(6, dtype=np.float32)[:2]).tolist() == [0, 1]


def test_what_cannot_be_learned_is_refused():
    method = Prototypes(Table(WORDS))
    with pytest.raises(NotFitted, match="a session"):
        method.predict(torch.eye(6))
    method.fit_session(torch.eye(6)[:2], [0, 1], ["a", "b"])
    for labels, names, what in [
        ([0, 1], ["a", "c"], "new classes"),
        ([0, 1], ["c", "c"], "new classes"),
        ([], [], "new classes"),
        ([0, 1], "cd", "new classes"),
        ([0, 0], ["c", "d"], r"pictures of 2 classes, got labels \[0\]"),
        ([0, 7], ["c", "d"], r"pictures of 2 classes, got labels \[0, 7\]"),
        ([0, 1, 1], ["c", "d"], "2 labels"),
        ([0.0, 1.0], ["c", "d"], "2 labels"),
    ]:
        with pytest.raises(InvalidInput, match=what):
            method.fit_session(torch.eye(6)[:2], labels, names)
    wild = torch.eye(6)[:2]
    wild[1, 3] = torch.nan  # every class would have been the first one from here on
    with pytest.raises(InvalidInput, match="others of picture 1"):
        method.fit_session(wild, [0, 1], ["c", "d"])
    assert method.classes == ("a", "b")
    with pytest.raises(InvalidInput, match="others of picture 1"):
        method.predict(wild)
    with pytest.raises(InvalidInput, match="rows of 6 numbers"):
        method.nearest(np.eye(4, dtype=np.float32))
    with pytest.raises(InvalidInput, match="a list of texts about each class, got 'a': 'small'"):
        Blend(Table(WORDS), descriptions={"a": "small"})
    with pytest.raises(InvalidInput, match="templates"):
        ZeroShot(Table(WORDS), templates=("a photo",))
    with pytest.raises(InvalidInput, match="pull"):
        Teen(Table(WORDS), pull=1.5)
    with pytest.raises(InvalidInput, match="weight"):
        Blend(Table(WORDS), weight=-0.1)
