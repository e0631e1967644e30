"""Text models of sentence-transformers that learn to search vectors an older model stored.

The gallery is the teacher: for each text there is the vector that it should have. A document should
keep the vector that is stored of it, and a question should get the stored vector of its answer. The
older model itself is not needed, and may be gone.

    made = follow(model, texts, vectors)             # vectors: what the gallery stores of them
    made.encode(["how to join threads"], "query")    # in the space of the stored vectors

Where the two models differ in dimension, a linear layer is added that ends in the old one.

Source: the trainer and `EmbedDistillLoss` of sentence-transformers (Kim et al. 2023, EmbedDistill).
    Departs from them: the linear layer belongs to the model, since it is served with it; the
    targets are what a gallery stores.
"""

from __future__ import annotations

import json
import random
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Vectors
from ..device import check_device
from ..errors import ArtifactError, EncoderError, InvalidInput, MissingExtra, no_memory
from ..items import Content, Role, as_contents
from ..optional import need
from ..space import Space
from .encoder import answered, unavailable
from .tensors import nn, torch

SPACE = "holdfast-space.json"  # beside the files of the library


@dataclass(frozen=True, slots=True)
class SentenceRecipe:
    """How a text model is fine-tuned.

    Args:
        epochs: Passes over the texts.
        batch: Texts at once.
        rate: Of learning, of AdamW; it warms up over a tenth and then falls to zero.
        seed: Of the order and of dropout.
        device: "cpu", or None for the best there is.
    Raises:
        InvalidInput: Fewer than one epoch or text in a batch, or a rate of 0.
    """

    epochs: int = 1
    batch: int = 32
    rate: float = 2e-5
    seed: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or not self.rate > 0.0:
            raise InvalidInput(
                "SentenceRecipe",
                "epochs and batch from 1, rate above 0",
                f"{self.epochs}, {self.batch}, {self.rate}",
            )


class SentenceFollower:
    """A fine-tuned text model as an encoder, in the space of the vectors it was trained towards.

    Args:
        model: A `SentenceTransformer`.
        space: Of the stored vectors.
    """

    def __init__(self, model: Any, space: Space) -> None:
        self.model, self.space = model, space
        self._lock = threading.Lock()

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        """(n, d) vectors of texts, of length one where the metric is the cosine.

        Raises:
            EncoderError: A content that is no text.
            InvalidInput: An unknown role, or no sequence.
        """
        owner = f"encoder of {self.space.name}"
        texts = as_contents(contents, role, owner)
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise EncoderError(owner, "texts", f"{type(text).__name__} at place {place}")
        rows = []
        if texts:
            try:
                made = self._made(texts)
            except (RuntimeError, MemoryError) as cause:
                if not no_memory(cause):
                    raise
                raise unavailable(owner, cause) from cause
            rows = [np.asarray(made, dtype=np.float32)]
        return answered(rows, self.space, owner)

    def _made(self, texts: list[Any]) -> Any:
        with self._lock:  # tokenizers are changed while they work
            return self.model.encode(
                texts,
                prompt="",  # it was trained without the one that the model may declare
                show_progress_bar=False,
                convert_to_numpy=True,
            )

    def save(self, folder: Path | str) -> None:
        """Write to a folder that sentence-transformers reads as well."""
        self.model.save(str(folder))
        told = json.dumps(self.space.to_json())
        (Path(folder) / SPACE).write_text(told + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str, device: str | None = None) -> SentenceFollower:
        """Read what `save` wrote.

        Raises:
            ArtifactError: No such model in the folder, or a part of one.
            EncoderUnavailable: No memory for it.
            ConfigError: This machine has no such device.
        """
        owner = f"encoder of {folder}"
        check_device(device, f"{owner}: device")
        library = need("sentence_transformers")
        try:
            told = json.loads((Path(folder) / SPACE).read_text(encoding="utf-8"))
            space = Space.from_json(told)
            model = library.SentenceTransformer(str(folder), device=device)
        except Exception as cause:  # a folder that is not whole raises whatever reads its parts
            if no_memory(cause):
                raise unavailable(owner, cause) from cause
            got = f"{type(cause).__name__}: {cause}"
            raise ArtifactError(str(folder), "a fine-tuned text model", got) from cause
        return cls(model, space)


def follow(
    model: Any,
    texts: Sequence[str],
    vectors: Vectors,
    questions: Sequence[str] = (),
    answers: Sequence[int] = (),
    recipe: SentenceRecipe | None = None,
) -> SentenceFollower:
    """Fine-tune a text model towards stored vectors.

    Args:
        model: A `SentenceTransformer`, which is changed, or the name or folder of one.
        texts: (n,) texts whose vectors the gallery stores.
        vectors: (n, d_old) those, in the old space.
        questions: (q,) texts that should find something.
        answers: (q,) place in `texts` of what each question should find.
        recipe: Settings.
    Raises:
        InvalidInput: Other numbers of vectors than texts, or answers that are not there.
        ConfigError: This machine has no such device.
        MissingExtra: What the library's trainer needs is not installed.
    """
    recipe = SentenceRecipe() if recipe is None else recipe
    asked, targets = _pairs(texts, vectors, questions, answers)
    check_device(recipe.device, "follow: device")
    trainer = _trainer()
    library = need("sentence_transformers")
    if isinstance(model, str | Path):
        model = library.SentenceTransformer(str(model), device=recipe.device)
    data = trainer.Dataset.from_dict({"text": asked, "label": targets})
    losses = need("sentence_transformers.sentence_transformer.losses")
    with ExitStack() as held:
        held.enter_context(_undisturbed())
        torch.manual_seed(recipe.seed)
        # Only where the cosine compares them do lengths not matter.
        kind = "cosine" if vectors.space.metric == "cosine" else "l2"
        _fitted(model, vectors.space)
        folder = held.enter_context(tempfile.TemporaryDirectory())
        run = library.SentenceTransformerTrainer(
            model=model,
            args=_arguments(library, folder, recipe),
            train_dataset=data,
            loss=losses.EmbedDistillLoss(model, distance_metric=kind),
        )
        for one in list(run.callback_handler.callbacks):
            if type(one).__name__ == "PrinterCallback":  # prints to stdout
                run.remove_callback(one)
        run.train()
    model.eval()
    return SentenceFollower(model, vectors.space)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put back the generators of everybody, which the library seeds."""
    own, shared = random.getstate(), np.random.get_state()  # noqa: NPY002 - the library's choice
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(own)
        np.random.set_state(shared)  # noqa: NPY002


def _pairs(
    texts: Sequence[str], vectors: Vectors, questions: Sequence[str], answers: Sequence[int]
) -> tuple[list[str], Any]:
    places = np.asarray(answers) if len(answers) else np.zeros(0, dtype=np.int64)
    if places.dtype.kind not in "iu":
        raise InvalidInput("follow", "answers as places in texts", f"{answers[0]!r}")
    if not len(texts) or len(texts) != len(vectors.array) or len(questions) != len(places):
        raise InvalidInput(
            "follow",
            "a vector of each text, and an answer to each question",
            f"{len(texts)} texts, {len(vectors.array)} vectors, "
            f"{len(questions)} questions, {len(places)} answers",
        )
    if len(places) and not 0 <= places.min() <= places.max() < len(texts):
        raise InvalidInput("follow", f"answers from 0 to {len(texts) - 1}", str(places.max()))
    for place, text in enumerate(asked := [*texts, *questions]):
        if not isinstance(text, str):
            raise InvalidInput("follow", "texts", f"{type(text).__name__} at place {place}")
    return asked, np.concatenate([vectors.array, vectors.array[places]])


def _trainer() -> Any:
    """The module of the library's trainer, which needs packages of its own."""
    if not need("sentence_transformers.util").is_training_available():
        raise MissingExtra(
            "fine-tuning a text model",
            "the packages `accelerate` and `datasets`",
            "not both of them",
            "Install them with: pip install 'holdfast[train-text]'",
        )
    return need("sentence_transformers.base.trainer")


def _fitted(model: Any, space: Space) -> None:
    """End the model in as many coordinates as the space has, of any length where that matters."""
    modules = need("sentence_transformers.sentence_transformer.modules")
    given = int(model.get_embedding_dimension())
    short = space.metric != "cosine" and isinstance(model[-1], modules.Normalize)
    if given == space.dim and not short:
        return
    layer = modules.Dense(given, space.dim, bias=False, activation_function=nn.Identity())
    model.append(layer.to(model.device))


def _arguments(library: Any, folder: str, recipe: SentenceRecipe) -> Any:
    return library.SentenceTransformerTrainingArguments(
        output_dir=folder,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.rate,
        warmup_steps=0.1,
        seed=recipe.seed,
        use_cpu=recipe.device == "cpu",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
