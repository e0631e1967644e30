"""What the benchmark of class-incremental models trains."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from bench.compatible_cells import Cells  # noqa: E402
from bench.compatible_stream import downloaded, synthetic, trained  # noqa: E402


def test_experience_replay_goes_on_with_the_whole_of_a_model_that_takes_over(tmp_path):
    stream = synthetic(0, asynchronous=True, epochs=1)
    small = replace(stream, steps=stream.steps[:1], servers=stream.servers[:1], replaced=(0,))
    cells = Cells(tmp_path)
    model, came = trained(cells, small, "ER")[0], downloaded(cells, small, fixed=False)[0]
    for now, then in zip(model.backbone.parameters(), came.backbone.parameters(), strict=True):
        assert float((now - then).abs().max()) > 1e-4
