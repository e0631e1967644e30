"""The second stage of a cross-modal bridge: a few pairs teach the new model's pictures the way.

A projection that was fitted on texts (`holdfast.align.projection`) meets pictures a little off
what it knows. Low-rank adapters in the picture tower close part of that gap on pairs of pictures
and captions. The old model is not needed, nor could it be asked: the projected captions
of the new model, or captions' stored vectors, stand for it and do not move. The weights of
the new model stay as they are; with the adapter off it is the model it was, bit for bit.

Too few pairs do harm. Some are held out, and where they do not get better beyond doubt the
answer is the first stage, unchanged.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DimensionMismatch, InvalidInput, NotEnoughPairs, no_memory, said
from ..optional import need
from .tensors import Tensor, as_rows, functional, nn, torch, unit

FEWEST = 40  # pairs; below, those that judge are too few to say anything
_ROUND = 256  # pairs encoded at once where no gradient is kept
_NAMES = ("weight_", "bias_", "inner_", "inner_bias_", "outer_")
_ATTENTION = r"self_attn\.(q_proj|k_proj|v_proj|out_proj)"

State = Mapping[str, npt.NDArray[Any]]
Listener = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class Adapting:
    """How the adapter is made and trained.

    Args:
        rank: Of the low-rank matrices.
        alpha: Their scale; twice the rank if None.
        dropout: On what goes into them.
        rate: AdamW's learning rate for the adapter.
        projection_rate: The same for the projection; 0 leaves it as it is.
        epochs: Most passes over the pairs.
        patience: Epochs without a better held-out score, after which training stops.
        batch: Pairs in a step.
        temperature: Cosines are divided by it.
        keep: Weight of the term that holds projected captions where they were.
        held_out: Share of the pairs that judges.
        seed: Of the adapter, the split and the batches.
    """

    rank: int = 8
    alpha: int | None = None
    dropout: float = 0.0
    rate: float = 5e-4
    projection_rate: float = 0.0
    epochs: int = 10
    patience: int = 3
    batch: int = 128
    temperature: float = 0.05
    keep: float = 1.0
    held_out: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        sizes = min(self.rank, self.patience, self.batch) >= 1 and self.epochs >= 0
        rates = 0.0 < self.rate < math.inf and 0.0 <= self.projection_rate < math.inf
        shares = 0.0 < self.held_out < 1.0 and self.temperature > 0.0
        if not sizes or not rates or not shares:
            raise InvalidInput(
                "Adapting",
                "rank, patience and batch from 1, epochs and projection_rate from 0, held_out in "
                "(0, 1), rate and temperature above 0",
                str(self),
            )


class Projector(nn.Module):
    """phi(x) = x W + b + gelu(x A + a) B, with the arrays of a fitted `Projection`."""

    def __init__(self, state: State) -> None:
        super().__init__()
        missing = [name for name in _NAMES if name not in state]
        if missing:
            raise InvalidInput("Projector", "the state of a Projection", f"no {missing[0]}")
        self.rest = {name: np.array(state[name]) for name in state if name not in _NAMES}
        self.kinds = {name: np.asarray(state[name]).dtype for name in _NAMES}
        for name in _NAMES:
            value = torch.tensor(np.asarray(state[name]), dtype=torch.float32)
            self.register_parameter(name, nn.Parameter(value))

    def forward(self, x: Tensor) -> Tensor:
        """(n, d_new) to (n, d_old)."""
        bent = functional.gelu(x @ self.inner_ + self.inner_bias_) @ self.outer_
        out: Tensor = x @ self.weight_ + self.bias_ + bent
        return out

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What `Projection().set_state` takes."""
        made = {
            name: getattr(self, name).detach().cpu().numpy().astype(self.kinds[name])
            for name in _NAMES
        }
        return {**made, **self.rest}


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """What the second stage made.

    Args:
        model: The new model with its adapter, in evaluation mode.
        projection: State of the projection: `Projection().set_state(adapted.projection)`.
        epoch: The epoch that was kept; 0 is the first stage, unchanged.
        scores: (epochs run + 1,) mean reciprocal ranks of held-out pairs, from that of the first
            stage on.
        parameters: How many numbers were trained.
    """

    model: Any
    projection: dict[str, npt.NDArray[Any]]
    epoch: int
    scores: tuple[float, ...]
    parameters: int = field(default=0)

    @contextmanager
    def off(self) -> Iterator[Any]:
        """The new model as it was before, bit for bit."""
        with self.model.disable_adapter():
            yield self.model


def adapt(
    model: Any,
    projection: State,
    pixels: Tensor,
    tokens: Mapping[str, Tensor],
    stored: npt.NDArray[np.float32] | None = None,
    settings: Adapting | None = None,
    listener: Listener | None = None,
) -> Adapted:
    """Teach the picture tower on pairs; the old model is not called.

    Args:
        model: Of transformers, with `get_text_features` and `get_image_features`. The adapter is
            put into it: encode with what is returned, or with that one's adapter off.
        projection: State of the fitted `Projection` of the first stage.
        pixels: (n, ...) prepared pictures, on the device of the model.
        tokens: Prepared captions, (n, ...) each; row i belongs to picture i.
        stored: (n, d_old) captions as the old gallery holds them, where it does; else the
            projected captions of the new model stand for them.
        settings: How; the defaults if None.
        listener: Told each epoch and its held-out score.
    Raises:
        NotEnoughPairs: Fewer than 40.
        InvalidInput: Not as many pictures as captions, some that the model does not take, no state
            of a projection, or one between other lengths.
        MissingExtra: peft is not installed.
    Source: Jang and Lim 2024 (XBT), its second stage. Departs from it: the loss is not known
        from there; the target does not move, pictures alone are adapted, since projected
        captions start where they should be, and held-out pairs decide.
    """
    how = settings or Adapting()
    count = _checked(pixels, tokens, stored)
    with torch.no_grad():
        captions = _tried(model.get_text_features, tokens, count)
        _tried(model.get_image_features, {"pixel_values": pixels[:1]}, 1)  # before it is changed
        phi = Projector(projection).to(captions.device)
        _fits(phi, captions, stored)
        own = unit(phi(captions)) if stored is None else unit(as_rows(stored, "adapt").to(captions))
    pairs = _Pairs(pixels, captions, own)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(how.seed)
        wrapped = _with_adapter(model, how)
        epoch, scores, trained = _descend(wrapped, phi, pairs, how, listener)
    return Adapted(wrapped.eval(), phi.state(), epoch, scores, trained)


def _with_adapter(model: Any, how: Adapting) -> Any:
    """The model with low-rank adapters in the attention of its picture tower."""
    with warnings.catch_warnings():  # of one library about another
        warnings.simplefilter("ignore")
        peft = need("peft")
        return peft.get_peft_model(
            model,
            peft.LoraConfig(
                r=how.rank,
                lora_alpha=2 * how.rank if how.alpha is None else how.alpha,
                lora_dropout=how.dropout,
                # A string must match a layer's whole name.
                target_modules=rf".*vision_model\..*{_ATTENTION}",
                task_type="FEATURE_EXTRACTION",
            ),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Prepared pictures, the new model's captions, and the points that do not move."""

    pixels: Tensor
    captions: Tensor
    own: Tensor

    def split(self, share: float, seed: int) -> tuple[npt.NDArray[np.int64], ...]:
        order = np.random.default_rng(seed).permutation(len(self.own))
        held = min(max(10, round(share * len(order))), len(order) - 1)
        return order[held:], np.sort(order[:held])


def _checked(
    pixels: Tensor, tokens: Mapping[str, Tensor], stored: npt.NDArray[np.float32] | None
) -> int:
    counts = [len(pixels), *(len(part) for part in tokens.values())]
    counts += [] if stored is None else [len(stored)]
    if len(set(counts)) > 1 or not tokens:
        raise InvalidInput("adapt", "as many pictures as captions", str(counts))
    if counts[0] < FEWEST:
        fix = "Few pairs do harm; keep the first stage."
        raise NotEnoughPairs("adapt", f"at least {FEWEST} pairs", str(counts[0]), fix)
    return counts[0]


def _fits(phi: Projector, captions: Tensor, stored: npt.NDArray[np.float32] | None) -> None:
    """From the length of the new model's captions to that of the stored ones."""
    wanted, answers = phi.weight_.shape
    given = captions.shape[1], answers if stored is None else stored.shape[-1]
    if (wanted, answers) != given:
        raise DimensionMismatch(
            "adapt",
            f"a projection from {given[0]} to {given[1]} coordinates",
            f"one from {wanted} to {answers}",
        )


def _tried(answer: Callable[..., Any], given: Mapping[str, Tensor], count: int) -> Tensor:
    """As `_all_rows`; what the model does not take is refused."""
    try:
        return _all_rows(answer, given, count)
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as cause:
        if no_memory(cause):
            raise
        raise InvalidInput(
            "adapt", f"{' and '.join(given)} that the model takes", said(cause)
        ) from cause


def _all_rows(answer: Callable[..., Any], given: Mapping[str, Tensor], count: int) -> Tensor:
    """(n, d) unit rows of everything, a part at a time."""
    made = []
    for start in range(0, count, _ROUND):
        part = {name: values[start : start + _ROUND] for name, values in given.items()}
        made.append(unit(_rows(answer(**part))))
    return torch.cat(made)


def _rows(answer: Any) -> Tensor:
    """Of either kind of answer that versions of transformers give."""
    rows: Tensor = answer if isinstance(answer, Tensor) else answer.pooler_output
    return rows


def _descend(
    model: Any, phi: Projector, pairs: _Pairs, how: Adapting, listener: Listener | None
) -> tuple[int, tuple[float, ...], int]:
    """Train; leave both as after the best epoch, or as they came."""
    rest, held = pairs.split(how.held_out, how.seed)
    rng = np.random.default_rng([how.seed, 1])
    adapter = [p for p in model.parameters() if p.requires_grad]
    moving = list(phi.parameters()) if how.projection_rate else []
    groups = [{"params": adapter, "lr": how.rate}]
    groups += [{"params": moving, "lr": how.projection_rate}] if moving else []
    adam = torch.optim.AdamW(groups, weight_decay=0.01)
    steps = how.epochs * -(-len(rest) // how.batch)
    falls = torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(1, steps))
    tensors = [*adapter, *moving]
    first = _judge(model, phi, pairs, held)
    best, scores, kept = 0, [float(first.mean())], [t.detach().clone() for t in tensors]
    for epoch in range(1, how.epochs + 1):
        model.train()
        for rows in np.array_split(rng.permutation(rest), -(-len(rest) // how.batch)):
            adam.zero_grad()
            _loss(model, phi, pairs, rows, how).backward()
            adam.step()
            falls.step()
        now = _judge(model, phi, pairs, held)
        scores.append(float(now.mean()))
        if listener:
            listener(epoch, scores[-1])
        if scores[-1] > scores[best] and _beyond_doubt(now - first):
            best, kept = epoch, [t.detach().clone() for t in tensors]
        elif epoch - best >= how.patience:
            break
    with torch.no_grad():
        for tensor, value in zip(tensors, kept, strict=True):
            tensor.copy_(value)
    return best, tuple(scores), sum(t.numel() for t in tensors)


def _loss(
    model: Any, phi: Projector, pairs: _Pairs, rows: npt.NDArray[np.int64], how: Adapting
) -> Tensor:
    """Pictures to the captions that do not move, both ways; projected captions stay there."""
    own = pairs.own[rows]
    seen = unit(phi(unit(_rows(model.get_image_features(pixel_values=pairs.pixels[rows])))))
    table = seen @ own.T / how.temperature
    goal = torch.arange(len(rows), device=table.device)
    loss = functional.cross_entropy(table, goal) + functional.cross_entropy(table.T, goal)
    loss = 0.5 * loss
    if how.keep and how.projection_rate:
        told = unit(phi(pairs.captions[rows]))
        loss = loss + how.keep * (1.0 - (told * own).sum(1)).mean()
    return loss


def _judge(model: Any, phi: Projector, pairs: _Pairs, held: npt.NDArray[np.int64]) -> Tensor:
    """(m,) reciprocal ranks of held-out pairs among each other, the mean of both directions.

    Not the loss: that also falls where a model only learns to be less sure.
    """
    model.eval()
    with torch.no_grad():
        images = {"pixel_values": pairs.pixels[held]}
        seen = unit(phi(_all_rows(model.get_image_features, images, len(held))))
        table = seen @ pairs.own[held].T
        return 0.5 * (_reciprocal(table) + _reciprocal(table.T))


def _reciprocal(table: Tensor) -> Tensor:
    """(m,) one over the rank of the diagonal in each row; ties count half, and NaN comes last."""
    own = table.diagonal()[:, None]
    # A matrix product may answer equal columns with different last bits.
    better, near = (~(table <= own + 1e-6)).sum(1), ((table - own).abs() <= 1e-6).sum(1)
    return 1.0 / (1.0 + better + 0.5 * (near - 1))


def _beyond_doubt(better: Tensor) -> bool:
    """Whether a mean lies above zero by twice its standard error."""
    error = better.std() / len(better) ** 0.5
    return bool(better.mean() > 2.0 * error)
