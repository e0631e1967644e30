"""States come back with the same bits and the same types, or not at all."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast import artifact  # noqa: E402
from holdfast.errors import ArtifactError, InvalidInput  # noqa: E402
from holdfast.train import checkpoint  # noqa: E402


def test_a_tree_comes_back(tmp_path):
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(3, 4, generator=generator)
    tree = {
        "weights": weights,
        "turned": weights.T,
        "half": weights.bfloat16(),
        "count": torch.tensor(7),
        "flags": torch.tensor([True, False]),
        "state": {0: {"step": 0.1 + 0.2, "none": None}, 11: {}},
        "betas": (0.9, 0.999),
        "list": [1, "two", True, math.inf],
        "array": np.arange(3),
        "map": {"tensor": 1},
    }
    path = tmp_path / "state.safetensors"
    checkpoint.save(path, "training", "r1", tree)
    read = checkpoint.load(path, "training", "r1")
    assert list(read) == list(tree)
    for name in ("weights", "turned", "half", "count", "flags"):
        assert read[name].dtype == tree[name].dtype
        assert torch.equal(read[name], tree[name])
    for name in ("state", "betas", "list", "map"):
        assert read[name] == tree[name]
        assert type(read[name]) is type(tree[name])
    assert list(read["state"]) == [0, 11]
    assert read["array"].tolist() == [0, 1, 2]
    read["weights"].add_(1.0)  # may be written to


def test_an_optimiser_goes_on(tmp_path):
    def made():
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        return layer, torch.optim.AdamW(layer.parameters(), lr=0.1, amsgrad=True)

    def step(layer, optimiser, seed):
        torch.manual_seed(seed)
        optimiser.zero_grad()
        layer(torch.randn(5, 3)).square().sum().backward()
        optimiser.step()

    layer, optimiser = made()
    for seed in range(4):
        step(layer, optimiser, seed)
    again, other = made()
    for seed in range(2):
        step(again, other, seed)
    tree = {"layer": dict(again.state_dict()), "optimiser": other.state_dict()}
    checkpoint.save(tmp_path / "s", "training", "r", tree)
    again, other = made()
    read = checkpoint.load(tmp_path / "s", "training", "r")
    again.load_state_dict(read["layer"])
    other.load_state_dict(read["optimiser"])
    for seed in range(2, 4):
        step(again, other, seed)
    assert torch.equal(again.weight, layer.weight)
    assert torch.equal(again.bias, layer.bias)


def test_what_is_not_ours_is_refused(tmp_path):
    path = tmp_path / "s"
    checkpoint.save(path, "training", "r", {})
    with pytest.raises(ArtifactError, match="the run other"):
        checkpoint.load(path, "training", "other")
    with pytest.raises(ArtifactError, match="expected a model"):
        checkpoint.load(path, "model", "r")
    artifact.save(path, artifact.Artifact("training", {}, {}))
    with pytest.raises(ArtifactError, match="the run r"):
        checkpoint.load(path, "training", "r")
    with pytest.raises(InvalidInput, match="plain data, got set"):
        checkpoint.save(path, "training", "r", {"a": {1}})
    with pytest.raises(InvalidInput, match="keys"):
        checkpoint.save(path, "training", "r", {(1, 2): 3})


def test_a_state_that_is_not_whole_says_how_to_begin_anew(tmp_path):
    path = tmp_path / "run" / "checkpoint.safetensors"
    checkpoint.save(path, "training", "r", {"weights": torch.ones(2), "step": 3})
    whole = path.read_bytes()
    read = artifact.load(path, "training")
    anew = r"checkpoint.safetensors: .* Delete its folder to begin anew\.$"
    for arrays, meta in (({}, read.meta), (read.arrays, {"run": "r"})):
        artifact.save(path, artifact.Artifact("training", arrays, meta))
        with pytest.raises(ArtifactError, match=f"(?=.*a whole state, got KeyError).*{anew}"):
            checkpoint.load(path, "training", "r")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match=anew):
        checkpoint.load(path, "training", "r")
