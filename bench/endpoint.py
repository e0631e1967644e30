"""A model on another machine, as far as a client can tell: it answers after a while.

python -m bench.endpoint FOLDER PORT --model 9 --each 0.5 prints "open" once it answers.

An OpenAI-compatible `/v1/embeddings` whose models are `old` and `new`. A text is "item 12" or
"query 7"; its vector is a row of `item-0.npy` and so on in the folder (0: old, 1: new). Waiting
takes no processor: that of another machine would not either.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

MODELS = ("old", "new")


class Endpoint:
    """Speaks ASGI.

    Args:
        folder: Of the vectors.
        wait: Seconds for a request.
        each: Further seconds for every text but the first.
    """

    def __init__(self, folder: Path, wait: float, each: float) -> None:
        self._wait, self._each = wait, each
        self._rows = {
            (what, model): np.load(folder / f"{what}-{side}.npy", mmap_mode="r")
            for what in ("item", "query")
            for side, model in enumerate(MODELS)
        }

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        asked = json.loads(body)
        answer = {"data": [self._entry(text, asked["model"]) for text in asked["input"]]}
        await asyncio.sleep(self._wait + self._each * (len(asked["input"]) - 1))
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _entry(self, text: str, model: str) -> dict[str, str]:
        what, number = text.split()
        row = np.ascontiguousarray(self._rows[what, model][int(number)], dtype="<f4")
        return {"embedding": base64.b64encode(row.tobytes()).decode()}


def main() -> None:
    """See the module's docstring."""
    import uvicorn

    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--model", type=float, required=True, help="milliseconds a request")
    parser.add_argument("--each", type=float, required=True, help="milliseconds a further text")
    told = parser.parse_args()
    endpoint = Endpoint(told.folder, told.model / 1e3, told.each / 1e3)
    config = uvicorn.Config(
        endpoint, port=told.port, log_level="error", lifespan="off", access_log=False
    )
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        sys.stdout.write("open\n")
        sys.stdout.flush()
        await serving

    asyncio.run(run())


if __name__ == "__main__":
    main()
