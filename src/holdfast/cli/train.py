"""`holdfast train`: train the model that comes next, so that the gallery need not be made again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .face import Face, command
from .progress import bar
from .share import percent
from .tables import facts
from .wish import Wish

if TYPE_CHECKING:
    from ..train.events import Event
    from ..train.job import Job, Outcome


@command("train", config=False)
@click.argument("recipe", type=click.Path(path_type=Path))
def train(face: Face, recipe: Path) -> None:
    """Train a model by a recipe (TOML); goes on where it stopped.

    With `before` in the recipe the new model is trained to search what the model before it
    stored. A tenth of each class is held out and says how well it does.
    """
    from ..encode.pictures import opened
    from ..train.job import Job, steps_done

    job = Job(recipe, opened)
    kept = "from its last checkpoint"
    try:
        with Wish(face.talks) as wish, bar(face, "train") as show:

            def stop(event: Event) -> None:
                nonlocal kept
                if wish.name and event.what in {"task", "step"}:
                    kept = f"at {percent(event.step / event.steps)}"
                    raise KeyboardInterrupt

            outcome = job.run((steps_done(show, job.config.budget.batch), stop))
    except KeyboardInterrupt as cause:
        raise click.Abort(f"Give the same command again: it goes on {kept}.") from cause
    found = _judged(job, outcome)
    space, known = outcome.trained.space, outcome.relation
    data: dict[str, Any] = {
        "model": str(outcome.path),
        "space": space.to_json(),
        "relation": known,
        "classes": len(outcome.trained.interface),
        "held_out": found,
    }
    rows = [("model", str(outcome.path)), ("space", str(space))]
    rows += [("relation", f"new to old: {known}")] if known else []
    rows += [(f"CMC@1 {cell}", f"{value:.3f}") for cell, value in found.items()]
    face.answer(data, *([facts(rows)] if face.talks else []))
    face.note(_advice(known, found))


def _judged(job: Job, outcome: Outcome) -> dict[str, float]:
    """CMC@1 among the held-out items, each one left out of its own search."""
    import numpy as np

    from ..measure.classes import ByClass
    from ..train.model import vectors_of

    judges = job.split[1]
    names = job.data.names[judges].tolist()
    if len(set(names)) in {1, len(names)}:  # nothing to mistake it for, or nothing to find
        return {}
    measure = ByClass("CMC@1", names, names, "same", unanswerable="drop")
    new = vectors_of(outcome.trained.model, job.data.inputs, judges).numpy()
    cells = {"new/new": (new, new)}
    if job.before is not None and job.data.shape == job.before.shape:
        old = vectors_of(job.before.model, job.data.inputs, judges).numpy()
        cells["old/old"] = (old, old)
        if outcome.relation in {"same", "extends"}:
            cells["new/old"] = (np.ascontiguousarray(new[:, : old.shape[1]]), old)
    order = ("old/old", "new/old", "new/new")
    return {cell: float(np.mean(measure(*cells[cell]))) for cell in order if cell in cells}


def _advice(known: str | None, found: dict[str, float]) -> str:
    if known is None:
        return "\nNext: build a gallery with it, or train the model after it with `before`."
    if "new/old" in found and found["new/old"] < found["old/old"]:
        return (
            "\nAmong what is stored it finds less than the model before it: do not serve it yet."
            "\nTrain longer, or with another loss or head."
        )
    if known == "same":
        return "\nIt searches the gallery as it is: name it in [old]; nothing has to move."
    if known == "extends":
        return "\nIt searches what is stored once one item has moved: holdfast plan, then backfill."
    return "\nIt shares nothing with the model before: an upgrade has to re-embed or bridge."
