"""The plan of an upgrade: every choice, named, checked, and recorded before anything moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ConfigError
from ..settings import config_error
from ..space import Space, relation
from .merge import Mode

OrderName = Literal[
    "random", "newest", "given", "searched", "gain", "uncertain", "central", "slice", "balanced"
]
MoverName = Literal["re-embed", "translate", "copy"]


class Plan(BaseModel):
    """How an upgrade moves items and how it answers meanwhile.

    Args:
        merge: How two ranked lists become one.
        calibrator: For merge "calibrated": "zscore" or "quantile".
        mover: "re-embed" reads the content again and runs the new model; "translate" maps
            stored vectors through a bridge; "copy" moves them within one space.
        order: Which items go first, behind a random sample of at most 256: "random"; "newest";
            "given" ids; what past searches "searched" most; what they would "gain" most by;
            what is most "uncertain"; what is most "central" in its cluster; one "slice" after
            the other; or "balanced" over slices.
        order_file: For order "given": a text file with one id a line. For "searched" and
            "gain": past searches, one a line, or JSON objects with `text` and `count`; for
            "searched" also with `id` and `count`, and it does without a file: items ask then.
        order_field: For order "slice" and "balanced": the payload field that names the slice. For
            "central": the one that names the class; without it clusters are found.
        seed: Of the random order, and of the sample that goes first.
        batch_size: Items in the first batch.
        max_batch_size: The batch grows up to this while that makes it faster.
        rate: Items a second at most; 0 for no limit.
        attempts: Tries for a batch whose model fails in a way that may pass.
        backoff: Seconds before the second try; doubles with each further one.
        max_quarantined: The upgrade pauses when more than this part of the gallery, and more
            than 100 items, cannot be moved.
        workers: Batches computed at once; 1 computes in the engine's own thread.
        executor: "threads" of this process, or "ray": actors on a cluster run the new model.
        address: Of the Ray cluster; "auto" for the one this machine belongs to; without one, that
            of the variable RAY_ADDRESS, else Ray is started here and stopped afterwards.
        actors: Copies of the model on the cluster.
        cpus: Cores of each actor, or a part of one.
        gpus: GPUs of each actor, or a part of one.
        yield_above: Milliseconds. While the slowest twentieth of the live searches takes longer,
            the backfill rests between batches, writes less at once, and keeps indexes up with each
            write; 0 for never.
        yield_most: Seconds of rest for each second of work, at most.
        holdover_hours: After the cut-over the old side is kept up to date, and may not be given up
            for so long.
    Raises:
        ConfigError: An unknown setting, or a value that cannot be.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    merge: Mode = "fused"
    calibrator: Literal["zscore", "quantile"] = "zscore"
    mover: MoverName = "re-embed"
    order: OrderName = "random"
    order_file: str | None = None
    order_field: str | None = None
    seed: int = Field(default=0, ge=0)
    batch_size: int = Field(default=64, ge=1)
    max_batch_size: int = Field(default=1024, ge=1)
    rate: float = Field(default=0.0, ge=0.0)
    attempts: int = Field(default=6, ge=1)
    backoff: float = Field(default=1.0, ge=0.0)
    max_quarantined: float = Field(default=0.05, ge=0.0, le=1.0)
    workers: int = Field(default=1, ge=1, le=64)
    executor: Literal["threads", "ray"] = "threads"
    address: str | None = None
    actors: int = Field(default=2, ge=1, le=4096)
    cpus: float = Field(default=1.0, ge=0.0)
    gpus: float = Field(default=0.0, ge=0.0)
    yield_above: float = Field(default=0.0, ge=0.0)
    yield_most: float = Field(default=9.0, ge=0.0, le=1000.0)
    holdover_hours: float = Field(default=0.0, ge=0.0)

    if not TYPE_CHECKING:  # type checkers read the fields above

        def __init__(self, **choices: Any) -> None:
            try:
                super().__init__(**choices)
            except ValidationError as error:
                raise config_error("plan", error) from error


def fitting(plan: Plan, old: Space, new: Space) -> Plan:
    """The plan with what nobody chose: a space that extends the old one needs no calibration."""
    if "merge" in plan.model_fields_set or relation(new, old) != "extends":
        return plan
    return plan.model_copy(update={"merge": "compatible"})


_RAY = "executor = 'ray'"


def refuse_unread(plan: Plan) -> None:
    """Refuse settings that were written and that nothing looks at, beside the others.

    Raises:
        ConfigError: There is one; `order_file` and `order_field` are looked at with the order.
    """
    wanted = {
        "calibrator": ("merge = 'calibrated'", plan.merge == "calibrated"),
        "workers": ("executor = 'threads'", plan.executor == "threads"),
        **dict.fromkeys(("address", "actors", "cpus", "gpus"), (_RAY, plan.executor == "ray")),
    }
    for setting, (beside, there) in wanted.items():
        if setting in plan.model_fields_set and not there:
            value = repr(getattr(plan, setting))
            fix = f"Write {beside} too, or leave {setting} out."
            raise ConfigError(f"plan: {setting}", f"it beside {beside}", f"{value} alone", fix)
