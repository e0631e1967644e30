"""Where batches are computed: here, in threads, or on a cluster."""

from __future__ import annotations

from ..errors import ConfigError
from ..space import Space
from .config import DEAD, EncoderConfig
from .executor import Executor, Inline, Threads
from .mover import Mover, ReEmbed
from .parts import Parts
from .plan import Plan


def check_place(plan: Plan) -> None:
    """Refuse a plan that no executor carries out.

    Raises:
        ConfigError: Ray for batches that run no model.
    """
    if plan.executor == "ray" and plan.mover != "re-embed":
        raise ConfigError(
            "plan: executor",
            "'threads', since no model runs",
            f"'ray' with mover {plan.mover!r}",
            "Mapping or copying a vector takes less than sending it.",
        )


def placed(parts: Parts, plan: Plan, mover: Mover) -> tuple[Executor, Mover]:
    """The executor of a plan, and the mover that goes with it.

    Args:
        parts: Of the project.
        plan: Says where.
        mover: That computes here.
    """
    if plan.executor != "ray" or not isinstance(mover, ReEmbed):
        return Threads(plan.workers) if plan.workers > 1 else Inline(), mover
    from .ray import RayExecutor

    config = _config_of(parts, mover.target)
    executor = RayExecutor(
        config.encoder,
        parts.model_options(config),
        mover.target,
        address=plan.address,
        actors=plan.actors,
        cpus=plan.cpus,
        gpus=plan.gpus,
    )
    return executor, ReEmbed(mover.source, parts.cached(executor.encoder, config))


def _config_of(parts: Parts, space: Space) -> EncoderConfig:
    old = parts.config.old
    if old.encoder != DEAD and parts.new_encoder.space != space:
        return old
    return parts.config.new
