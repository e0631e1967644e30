"""A server on this machine that answers `/v1/embeddings`, well or as a test wants it."""

import json
import threading
import time
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DIM = 5

Answer = tuple[int, dict[str, str], bytes]
Step = Callable[[dict[str, Any]], Answer]


def reference(text: str, dim: int = DIM) -> np.ndarray:
    """The unit row of a text, computed apart from the server's way to the client."""
    row = np.random.default_rng(zlib.crc32(text.encode())).normal(size=dim)
    return (row / np.linalg.norm(row)).astype(np.float32)


def rows(texts: list[str], dim: int = DIM) -> np.ndarray:
    return np.stack([reference(text, dim) for text in texts])


def entries(asked: dict[str, Any]) -> list[dict[str, Any]]:
    made = [reference(text, asked.get("dimensions", DIM)).tolist() for text in asked["input"]]
    return [{"index": i, "embedding": row, "object": "embedding"} for i, row in enumerate(made)]


def good(asked: dict[str, Any]) -> Answer:
    return reply({"object": "list", "data": entries(asked)})


def reply(body: Any, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, body if isinstance(body, bytes) else json.dumps(body).encode()


def fails(status: int, message: str = "no", **headers: str) -> Step:
    return lambda _: reply({"error": {"message": message}}, status, **headers)


def says(change: Callable[[list[dict[str, Any]]], Any]) -> Step:
    """A good answer, changed."""
    return lambda asked: reply({"data": change(entries(asked))})


class Endpoint:
    """Answers request after request with `steps`, then well.

    Attributes:
        asked: Bodies of the requests, in order of arrival.
        headers: Their headers.
        callers: Ports they came from, one for each connection.
        most: Requests that were in hand at once.
    """

    def __init__(self, *steps: Step, seconds: float = 0.0) -> None:
        self.steps = list(steps)
        self.seconds = seconds
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.callers: list[int] = []
        self.most = self._now = 0
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, headers, content = endpoint._answer(self, body)
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # the client did not wait

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def _answer(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> Answer:
        with self._lock:
            self.asked.append(body)
            self.headers.append(dict(handler.headers))
            self.paths.append(handler.path)
            self.callers.append(handler.client_address[1])
            step = self.steps.pop(0) if self.steps else good
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            time.sleep(self.seconds)
            return step(body)
        finally:
            with self._lock:
                self._now -= 1

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
