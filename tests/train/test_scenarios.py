"""Scenarios: which items, labels, starts and teachers each task has."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from holdfast.errors import InvalidInput
from holdfast.train.interface import Interface
from holdfast.train.memory import Memory
from holdfast.train.scenarios import (
    Scenario,
    architectures,
    asynchronous,
    few_shot,
    finer_labels,
    incremental,
    more_data,
    retrain,
)

CLASSES = np.array(["a", "b", "c", "a", "d", "b", "c", "a", "d", "e"])
STEPS = [["b", "a"], ["d"], ["c", "e"]]
SHARED = Interface("shared", capacity=32)


def of(scenario, field):
    return [getattr(task, field) for task in scenario.tasks]


def lists(arrays):
    return [array.tolist() for array in arrays]


def test_retraining_sees_everything_up_to_now():
    found = retrain(CLASSES, SHARED, STEPS)
    assert lists(of(found, "items")) == [[0, 1, 3, 5, 7], [0, 1, 3, 4, 5, 7, 8], list(range(10))]
    assert of(found, "start") == ["fresh"] * 3
    assert of(found, "teacher") == ["none", "deployed", "deployed"]
    # b was named first and has vertex 0
    assert lists(of(found, "labels")) == [
        [1, 0, -1, 1, -1, 0, -1, 1, -1, -1],
        [1, 0, -1, 1, 2, 0, -1, 1, 2, -1],
        [1, 0, 3, 1, 2, 0, 3, 1, 2, 4],
    ]
    assert of(found, "classes") == [("b", "a"), ("d",), ("c", "e")]
    assert found.memory is None
    assert of(retrain(CLASSES, SHARED, STEPS, "none"), "teacher") == ["none"] * 3


def test_incremental_sees_new_classes_and_remembers():
    memory = Memory(per_class=1)
    found = incremental(CLASSES, SHARED, STEPS, memory)
    assert lists(of(found, "items")) == [[0, 1, 3, 5, 7], [4, 8], [2, 6, 9]]
    assert of(found, "start") == ["fresh", "deployed", "deployed"]
    assert of(found, "teacher") == ["none", "deployed", "deployed"]
    assert of(found, "remembers") == [True] * 3
    assert found.memory is memory
    # labels of what the memory will have are there
    assert found.tasks[2].labels[[0, 1, 4]].tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("teacher", "expected"),
    [
        ("deployed", ["downloaded", "deployed", "deployed"]),
        ("downloaded", ["downloaded", "deployed", "downloaded"]),
        ("stored", ["downloaded", "stored", "stored"]),
        ("none", ["none", "none", "none"]),
    ],
)
def test_the_teacher_of_a_replaced_model_is_a_choice(teacher, expected):
    found = asynchronous(CLASSES, SHARED, STEPS, Memory(per_class=1), {0, 2}, teacher)
    assert of(found, "start") == ["downloaded", "deployed", "downloaded"]
    assert of(found, "teacher") == expected


def test_two_parties_fill_the_interface_from_both_ends():
    server = SHARED.filled(["x", "y"])
    found = asynchronous(CLASSES, server, STEPS, Memory(per_class=1), {1})
    assert found.tasks[-1].labels.tolist() == [30, 31, 28, 30, 29, 31, 28, 30, 29, 27]
    assert found.tasks[-1].interface.places["x"] == 0
    assert of(found, "start")[0] == "fresh"
    assert of(found, "teacher")[0] == "none"


def test_the_published_protocol():
    names = [f"c{n}" for n in range(100)]
    steps = [names[:10]] + [names[10 + 15 * t : 25 + 15 * t] for t in range(6)]
    interface = Interface("published", capacity=1024).filled([f"server {n}" for n in range(600)])
    found = asynchronous(
        np.repeat(names, 3), interface, steps, Memory(per_class=20), {0, 2, 4}, "downloaded"
    )
    assert len(found.tasks) == 7
    assert [len(task.items) // 3 for task in found.tasks] == [10] + [15] * 6
    numbers = np.repeat(np.arange(100), 3)
    assert (found.tasks[-1].labels == 1023 - numbers).all()  # class y on vertex 1023 - y
    assert [n for n, task in enumerate(found.tasks) if task.teacher == "downloaded"] == [0, 2, 4]


def test_more_data_keeps_what_it_had():
    classes = np.repeat(["p", "q"], [40, 20])
    found = more_data(classes, SHARED, [0.25, 0.5, 1.0], seed=1)
    items = of(found, "items")
    counts = [np.unique(classes[part], return_counts=True)[1].tolist() for part in items]
    assert counts == [[10, 5], [20, 10], [40, 20]]
    assert set(items[0].tolist()) < set(items[1].tolist()) < set(items[2].tolist())
    other = more_data(classes, SHARED, [0.25, 0.5, 1.0], seed=2).tasks[0].items
    assert other.tolist() != items[0].tolist()
    assert of(found, "classes") == [("p", "q"), (), ()]
    going = more_data(classes, SHARED, [0.5, 1.0], start="deployed")
    assert of(going, "start") == ["fresh", "deployed"]


def test_other_architectures_see_the_same():
    found = architectures(CLASSES, SHARED, ["small", "large"])
    assert of(found, "model") == ["small", "large"]
    assert lists(of(found, "items")) == [list(range(10))] * 2
    assert found.tasks[0].labels.tolist() == found.tasks[1].labels.tolist()
    assert of(found, "teacher") == ["none", "deployed"]


def test_finer_labels_leave_coarse_ones_where_they_are():
    coarse = {"a": "left", "b": "left", "c": "right", "d": "right", "e": "e"}
    found = finer_labels(CLASSES, SHARED, [coarse])
    first, second = found.tasks
    assert first.labels.tolist() == [0, 0, 1, 0, 1, 0, 1, 0, 1, 2]
    assert second.labels.tolist() == [3, 4, 5, 3, 6, 4, 5, 3, 6, 2]
    assert second.classes == ("a", "b", "c", "d")
    assert second.interface.places["left"] == 0


def test_few_shots_of_new_classes():
    classes = np.array([f"c{n % 8}" for n in range(80)])
    steps = [["c0", "c1", "c2", "c3"], ["c5", "c4"], ["c7", "c6"]]
    found = few_shot(classes, SHARED, steps, shots=3, seed=1)
    assert of(found, "start") == ["fresh", "deployed", "deployed"]
    assert of(found, "teacher") == ["none"] * 3
    assert of(found, "remembers") == [False] * 3
    assert found.memory is None
    # all of the base classes, three of each later one, numbered as the classes come
    assert lists(of(found, "items"))[0] == [n for n in range(80) if n % 8 < 4]
    for task, step, numbers in zip(found.tasks[1:], steps[1:], ([4, 5], [6, 7]), strict=True):
        drawn = sorted(classes[task.items].tolist())
        assert drawn == sorted(step * 3)
        assert dict(zip(classes[task.items], task.labels[task.items], strict=True)) == dict(
            zip(step, numbers, strict=True)
        )
    fewer = few_shot(classes, SHARED, steps, shots=2, seed=1)
    assert set(fewer.tasks[1].items.tolist()) < set(found.tasks[1].items.tolist())
    other = few_shot(classes, SHARED, steps, shots=3, seed=2)
    assert other.tasks[1].items.tolist() != found.tasks[1].items.tolist()
    listed = few_shot(classes, SHARED, steps, chosen=[[5, 4, 13], [7, 6]])
    assert lists(of(listed, "items"))[1:] == [[4, 5, 13], [6, 7]]
    with pytest.raises(InvalidInput, match="11 items of each class"):
        few_shot(classes, SHARED, steps, shots=11)
    with pytest.raises(InvalidInput, match="shots from 1, got 0"):
        few_shot(classes, SHARED, steps, shots=0)
    with pytest.raises(InvalidInput, match=r"classes that have items, got .*nobody"):
        few_shot(classes, SHARED, [["c0"], ["c5", "nobody"]], shots=3)
    with pytest.raises(InvalidInput, match="items of its classes"):
        few_shot(classes, SHARED, steps, chosen=[[5, 4, 0], [7, 6]])
    with pytest.raises(InvalidInput, match="items of 2 tasks"):
        few_shot(classes, SHARED, steps, chosen=[[5, 4]])


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InvalidInput, match="new classes in every step"):
        retrain(CLASSES, SHARED, [["a"], ["a", "b"]])
    with pytest.raises(InvalidInput, match="new classes in every step"):
        retrain(CLASSES, SHARED, [["a", "a"], ["b"]])
    for make in (retrain, lambda *told: incremental(*told, Memory(per_class=1)), few_shot):
        with pytest.raises(InvalidInput, match=r"classes that have items, got \['nobody'\]"):
            make(CLASSES, SHARED, [["a", "nobody"], ["b"]])
    with pytest.raises(InvalidInput, match="names of classes"):
        retrain(np.arange(3), SHARED, STEPS)
    with pytest.raises(InvalidInput, match="rising shares"):
        more_data(CLASSES, SHARED, [0.5, 0.5])
    with pytest.raises(InvalidInput, match="coarser name"):
        finer_labels(CLASSES, SHARED, [{"a": "left"}])
    with pytest.raises(InvalidInput, match="tasks from 0 to 2"):
        asynchronous(CLASSES, SHARED, STEPS, Memory(per_class=1), {3})
    task = retrain(CLASSES, SHARED, STEPS).tasks[1]
    with pytest.raises(InvalidInput, match="needs no deployed model"):
        Scenario(CLASSES, (task,))
    with pytest.raises(InvalidInput, match="tasks of different names"):
        Scenario(CLASSES, ())
    with pytest.raises(InvalidInput, match="a downloaded model to be the teacher"):
        dataclasses.replace(task, teacher="downloaded")
    with pytest.raises(InvalidInput, match="a memory"):
        Scenario(CLASSES, (dataclasses.replace(task, teacher="none", remembers=True),))
