"""One picture of an update: what each method does to the old gallery, on both kinds of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .compatible_words import Seeds
from .record import FOLDER

# Where a label may stand, from its point, in points: the first that is free is taken.
_PLACES = (
    (6, 0, "left", "center"),
    (-6, 0, "right", "center"),
    (0, 6, "center", "bottom"),
    (0, -6, "center", "top"),
    (5, 5, "left", "bottom"),
    (5, -5, "left", "top"),
    (-5, 5, "right", "bottom"),
    (-5, -5, "right", "top"),
)


def plot(where: str, found: dict[str, Seeds]) -> str:
    """Write an SVG beside the tables; answers the Markdown that shows it."""
    points = {}
    for name, seeds in found.items():
        at = []
        for side in ("closed", "open"):
            values = [seed[side]["CMC@1"] for seed in seeds.values()]
            gaps = [np.mean(one["new/old"]) - np.mean(one["old/old"]) for one in values]
            at.append(100 * float(np.mean(gaps)))
        points[name] = (at[0], at[1])
    return draw(where, points)


def draw(where: str, points: Mapping[str, tuple[float, float]]) -> str:
    """The same from the points alone: what is gained on trained classes, and on unseen ones."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # The others are far below.
    shown = {name: at for name, at in points.items() if name not in {"independent", "AdvBCT"}}
    figure = Figure(figsize=(7.5, 5.5))
    axes = figure.add_subplot()
    axes.plot(*zip(*shown.values(), strict=True), "o", color="black", markersize=4, linestyle="")
    axes.margins(0.16)
    axes.axhline(0.0, color="grey", linewidth=0.8, zorder=0)
    axes.axvline(0.0, color="grey", linewidth=0.8, zorder=0)
    axes.set_xlabel("new/old less old/old on trained classes, points of CMC-1")
    axes.set_ylabel("the same on classes no model was trained on")
    axes.set_title(f"{where}: does the new model search the old gallery better?")
    figure.tight_layout()
    FigureCanvasAgg(figure).draw()
    _label(axes, shown)
    name = f"compatible_training-{where.lower()}.svg"
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "holdfast"}):
        figure.savefig(FOLDER / name, metadata={"Date": None})
    return f"![{where}: new/old less old/old, on trained and on unseen classes]({name})"


def _label(axes: Any, points: Mapping[str, tuple[float, float]]) -> None:
    """Name each point where no other point, name, line or edge is, as far as that can be."""
    origin = axes.transData.transform((0.0, 0.0))
    taken = [_around(axes.transData.transform(at)) for at in points.values()]
    for name, at in points.items():
        tries = []
        for x, y, across, up in _PLACES:
            label = axes.annotate(
                name, at, (x, y), textcoords="offset points", ha=across, va=up, fontsize=8
            )
            box = label.get_window_extent()
            label.remove()
            clashes = sum(box.overlaps(other) for other in taken)
            inside = axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)
            crossed = (box.x0 < origin[0] < box.x1) + (box.y0 < origin[1] < box.y1)
            tries.append((clashes + (not inside), crossed, len(tries), label, box))
        *_, label, box = min(tries, key=lambda one: one[:3])
        axes.add_artist(label)
        taken.append(box)


def _around(at: Any) -> Any:
    from matplotlib.transforms import Bbox

    return Bbox.from_extents(at[0] - 4, at[1] - 4, at[0] + 4, at[1] + 4)
