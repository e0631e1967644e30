"""One picture of an update: what each method does to the old gallery, on both kinds of classes."""

from __future__ import annotations

import numpy as np

from .compatible_words import Seeds
from .record import FOLDER


def plot(where: str, found: dict[str, Seeds]) -> str:
    """Write an SVG beside the tables; answers the Markdown that shows it."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5.5))
    axes = figure.add_subplot()
    for name, seeds in found.items():
        if name in {"independent", "AdvBCT"}:  # far below
            continue
        at = []
        for side in ("closed", "open"):
            values = [seed[side]["CMC@1"] for seed in seeds.values()]
            gaps = [np.mean(one["new/old"]) - np.mean(one["old/old"]) for one in values]
            at.append(100 * float(np.mean(gaps)))
        axes.plot(*at, "o", color="black", markersize=4)
        axes.annotate(name, at, xytext=(4, 3), textcoords="offset points", fontsize=8)
    axes.margins(0.16)
    axes.axhline(0.0, color="grey", linewidth=0.8)
    axes.axvline(0.0, color="grey", linewidth=0.8)
    axes.set_xlabel("new/old less old/old on trained classes, points of CMC-1")
    axes.set_ylabel("the same on classes no model was trained on")
    axes.set_title(f"{where}: does the new model search the old gallery better?")
    figure.tight_layout()
    name = f"compatible_training-{where.lower()}.svg"
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "holdfast"}):
        figure.savefig(FOLDER / name, metadata={"Date": None})
    return f"![{where}: new/old less old/old, on trained and on unseen classes]({name})"
