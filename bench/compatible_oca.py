"""The weight of distillation beside the loss of OCA, chosen on training images left out.

The rule, said before anything was run: of the weights whose new/new is at most one point of
CMC-1 below that of the independent model, the one with the highest new/old; where there is none,
the one with the highest new/new. Means of one seed count, the smaller weight where two are
equal. No test image is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from .compatible_cells import Cells
from .compatible_convolutional import AS_PUBLISHED, TRIED, left_out, oca_distilled
from .compatible_methods import Method
from .compatible_update import Pool, judged, new_model, old_model, rows_of, slug
from .compatible_words import points

WEIGHTS = (5.0, 10.0, 25.0)  # beside 5 of cross-entropy: 1, 2 and 5 times it
WITHIN = 1.0  # points that new/new may lie below the independent model's
SIDES = ("old/old", "new/old", "new/new")


def label(weight: float) -> str:
    """Of a weight, as its line is called."""
    return f"OCA, distilled, {weight:g}"


def methods() -> dict[str, Method]:
    """Who is compared: the independent model, OCA as published, and a line a weight."""
    made = {name: AS_PUBLISHED[name] for name in ("independent", "OCA")}
    for weight in WEIGHTS:
        made[label(weight)] = replace(AS_PUBLISHED["OCA"], loss=oca_distilled(weight))
    return made


def measured(cells: Cells, name: str) -> dict[str, Any]:
    """Values of all queries, one method, by the network that was chosen."""
    world = replace(left_out(cells, *TRIED[0]), methods=methods())
    old = old_model(cells, world, "learned")
    new = new_model(cells, world, name, old)
    stored, asked = rows_of(old, world.test), rows_of(new, world.test, True)
    whole = rows_of(new, world.test)
    pairs = ((stored, stored), (asked, stored), (whole, whole))
    pool = Pool(world.test, world.queries, world.ranked)
    return dict(judged(pool, ("CMC@1", "mAP"), dict(zip(SIDES, pairs, strict=True))))


def cell(cells: Cells, name: str) -> dict[str, Any]:
    """The same, once."""
    return cells.cell(f"convolutional-weight-{slug(name)}", partial(measured, cells, name))


def chosen(found: Mapping[str, Mapping[str, Any]]) -> float | None:
    """What the rule says of what was measured; None until all of it was."""
    if not set(methods()) <= set(found):
        return None

    def share(name: str, side: str) -> float:
        return float(np.mean(found[name]["CMC@1"][side]))

    least = share("independent", "new/new") - WITHIN / 100
    near = [weight for weight in WEIGHTS if share(label(weight), "new/new") >= least]
    side = "new/old" if near else "new/new"
    return max(near or WEIGHTS, key=lambda weight: share(label(weight), side))


def table(cells: Cells) -> str:
    """What was tried, as Markdown, the chosen weight in bold; what is finished is read."""
    made = {name: cell(cells, name) for name in methods()}
    found = {name: told for name, told in made.items() if told}
    if "independent" not in found:
        return ""
    best = chosen(found)
    lines = [
        (
            "**Weights of distillation beside OCA, on training images left out** (CMC-1 in %, in "
            "points where one is less another; 95 % intervals over queries; one seed; bold: chosen)"
        ),
        "",
        (
            "| method | old/old | new/old | new/new | new/old less old/old | new/new less that of "
            "the independent model |"
        ),
        "|---|---|---|---|---|---|",
    ]
    free = found["independent"]["CMC@1"]["new/new"]
    for name, told in found.items():
        own = told["CMC@1"]
        shown = [f"{100 * np.mean(own[side]):.1f}" for side in SIDES]
        apart = "" if name == "independent" else points(free, own["new/new"])
        shown += [points(own["old/old"], own["new/old"]), apart]
        bold = best is not None and name == label(best)
        lines.append(f"| {f'**{name}**' if bold else name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)
