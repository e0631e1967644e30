"""The application: every route, with its description, around a desk, an office and a page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from .. import __version__
from ..errors import HoldfastError
from ..optional import need
from . import bodies, problem
from .caller import COOKIE, SECURE, SESSION
from .compare import compare
from .desk import Desk
from .door import OPEN, READS, SAFE
from .live import Live
from .metrics import Metrics
from .office import Office
from .page import Page
from .settings import Settings
from .steward import Steward
from .threads import Lane
from .tokens import LASTING

_LOG = logging.getLogger("holdfast.service")
_TITLE = "Holdfast"
_LOOKS, _COMMANDS = 8, 16  # threads; a command waits for its end for a while
_ABOUT = (
    "One gallery, and the upgrade of its embedding model while it is searched. Reading is free on "
    "a loopback address; writing and commanding need a token: `Authorization: Bearer ...`. Every "
    "refusal has one form: who expected what, what came, and what to do."
)
_TOKEN = "token"  # noqa: S105 - the name of the scheme in the OpenAPI


class Api:
    """Puts the routes together.

    Args:
        settings: Who may come in.
        steward: Has the gallery.
        desk: Searches and writes.
        office: Looks and commands.
        metrics: Counts.
        page: Draws the dashboard.
        live: Keeps it up to date.
    """

    def __init__(
        self,
        settings: Settings,
        steward: Steward,
        desk: Desk,
        office: Office,
        metrics: Metrics,
        page: Page,
        live: Live,
    ) -> None:
        self._settings, self._steward, self._desk = settings, steward, desk
        self._office, self._metrics, self._page, self._live = office, metrics, page, live
        self._responses = need("fastapi.responses")
        self._looks = Lane("holdfast-look", _LOOKS)
        self._commands = Lane("holdfast-asked", _COMMANDS)

    def build(self) -> Any:
        """The application; it opens the gallery when it starts and closes it when it ends."""
        fastapi = need("fastapi")
        app = fastapi.FastAPI(
            title=_TITLE,
            description=_ABOUT,
            version=__version__,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,  # to http, where a proxy before us speaks TLS
            lifespan=self._life,
        )
        _name_token(app)
        self._refusals(app)
        self._gallery_routes(app)
        self._upgrade_routes(app)
        self._page_routes(app)
        return app

    @asynccontextmanager
    async def _life(self, app: Any) -> AsyncIterator[None]:
        del app
        await asyncio.to_thread(self._office.open)
        try:
            yield
        finally:
            self._live.close()
            await asyncio.to_thread(self._office.close)
            self._looks.close()
            self._commands.close()

    def _refusals(self, app: Any) -> None:
        invalid = need("fastapi.exceptions").RequestValidationError

        async def of_error(request: Any, error: HoldfastError) -> Any:
            del request
            return self._refused(problem.of_error(error), problem.retry_after(error))

        async def of_validation(request: Any, error: Any) -> Any:
            del request
            return self._refused(problem.of_validation(error.errors()))

        async def of_status(request: Any, error: Any) -> Any:
            del request
            return self._refused(problem.of_status(error.status_code), error.headers or {})

        async def unexpected(request: Any, error: Exception) -> Any:
            del request
            _LOG.error("unexpected", exc_info=error)
            return self._refused(problem.unexpected())

        app.exception_handler(HoldfastError)(of_error)
        app.exception_handler(invalid)(of_validation)
        for status in (400, 404, 405, 415):
            app.exception_handler(status)(of_status)
        app.exception_handler(Exception)(unexpected)

    def _refused(self, told: problem.Problem, headers: Mapping[str, str] | None = None) -> Any:
        return self._responses.Response(
            problem.written(told), told["status"], dict(headers or {}), problem.MEDIA
        )

    def _gallery_routes(self, app: Any) -> None:
        desk, route = self._desk, self._router(app, "gallery")
        route("POST", "/api/search", desk.search, 422, 502, 503)
        route("PUT", "/api/items", desk.upsert, 409, 422, 502, 503)
        route("POST", "/api/items/delete", desk.delete, 422, 503)
        route("POST", "/api/items/get", desk.get, 404, 422, 503)
        _know_whole_paths()
        route("GET", "/api/items/{name:whole}", desk.get_one, 404, 422, 503)
        route("DELETE", "/api/items/{name:whole}", desk.delete_one, 422, 503)
        route("POST", "/api/compare", self._compare, 422, 502, 503)

    def _compare(self, body: bodies.Compare) -> dict[str, Any]:
        """One question to the old side, to both as they serve now, and to the new side."""
        return {"columns": [asdict(column) for column in compare(self._steward, body)]}

    def _upgrade_routes(self, app: Any) -> None:
        office, route, look = self._office, self._router(app, "upgrade"), self._looks.of
        route("GET", "/api/status", look(office.status), 503)
        route("GET", "/api/findings", look(office.findings), 503)
        route("GET", "/api/quarantine", look(self._quarantine), 422, 503)
        route("GET", "/api/audit", look(self._audit), 422, 503)
        route("GET", "/api/commands", look(office.commands), 503)
        command = self._commands.of(office.command)
        route("POST", "/api/commands/{name}", command, 409, 422, 501, 502, 503)

    def _router(self, app: Any, tag: str) -> Callable[..., None]:
        form = bodies.Problem.model_json_schema()

        def route(method: str, path: str, endpoint: Callable[..., Any], *refusals: int) -> None:
            codes = [*refusals, *_ANY, *(() if method in SAFE else (403,))]
            if method in ("POST", "PUT") or "{" in path:
                codes.append(400)
            told = {
                status: {"description": _SAID[status], "content": {problem.MEDIA: {"schema": form}}}
                for status in sorted(codes)
            }
            app.add_api_route(
                path,
                endpoint,
                name=endpoint.__name__.lstrip("_"),  # clients that are made from this call it so
                methods=[method],
                tags=[tag],
                responses=told,
                openapi_extra={"security": self._asked_for(method, path)},
            )

        return route

    def _asked_for(self, method: str, path: str) -> list[dict[str, list[str]]]:
        """Whether a token has to come, as the description says it; one that comes must be right."""
        reads = method in SAFE or path in READS
        free = path in OPEN or (reads and not self._settings.private)
        return [*([{}] if free else []), {_TOKEN: []}]

    def _quarantine(self, limit: bodies.Limit = 100) -> dict[str, Any]:
        """Items that could not be moved, each with its reason."""
        return self._office.quarantine(limit)

    def _audit(self, after: bodies.Number = 0, limit: bodies.Limit = 100) -> dict[str, Any]:
        """Who told the upgrade to do what, when, why, and what the gate said by then."""
        return self._office.audit(after, limit)

    def _page_routes(self, app: Any) -> None:
        hidden = {"include_in_schema": False}
        route, look = self._router(app, "service"), self._looks.of
        route("GET", "/health", self._health)
        route("GET", "/ready", look(self._ready), 503)
        app.add_api_route("/health", self._health, methods=["HEAD"], **hidden)  # as probes ask
        app.add_api_route("/ready", look(self._ready), methods=["HEAD"], **hidden)
        app.add_api_route("/metrics", look(self._read_metrics), methods=["GET"], **hidden)
        app.add_api_route("/", look(self._whole), methods=["GET"], **hidden)
        app.add_api_route("/static/{name}", look(self._static), methods=["GET"], **hidden)
        app.add_api_route("/events", self._events, methods=["GET"], **hidden)
        app.add_api_route("/compare", self._compared, methods=["POST"], **hidden)
        app.add_api_route("/session", look(self._sign_in), methods=["POST"], **hidden)
        app.add_api_route("/session", look(self._sign_out), methods=["DELETE"], **hidden)

    async def _health(self) -> dict[str, str]:
        """Whether the process answers."""
        return {"health": "ok"}

    def _ready(self) -> Any:
        """Whether searches are answered."""
        self._steward.open_again()  # nobody sends searches to one that is not ready
        if self._steward.is_open:
            return {"ready": True}
        return self._refused(
            problem.problem(503, "NotReady", "holdfast serve", "an open gallery", "one that is not")
        )

    def _read_metrics(self) -> Any:
        text, media = self._metrics.text()
        return self._responses.Response(text, media_type=media)

    def _whole(self) -> Any:
        return self._responses.HTMLResponse(self._page.whole())

    def _static(self, name: str) -> Any:
        found = self._page.static(name)
        if found is None:
            return self._refused(problem.of_status(404))
        text, media = found
        return self._responses.Response(text, media_type=media)

    async def _events(self) -> Any:
        if self._live.full:
            told = problem.problem(
                503,
                "Full",
                "the event stream",
                "fewer readers",
                "as many as it takes",
                "Try later.",
            )
            return self._refused(told, {"Retry-After": "10"})
        cookie, who = SESSION.get(), self._settings.sessions.who
        signed_in = who(cookie) is not None
        stream = self._live.stream(lambda: not signed_in or who(cookie) is not None)
        headers = {"X-Accel-Buffering": "no"}
        return self._responses.StreamingResponse(
            stream, headers=headers, media_type="text/event-stream"
        )

    def _compared(self, body: bodies.Compare) -> Any:
        return self._responses.HTMLResponse(self._page.compared(compare(self._steward, body)))

    def _sign_in(self, body: bodies.SignIn) -> Any:
        who = self._settings.tokens.who(body.token)
        if who is None:
            told = problem.problem(
                401, "WrongToken", "holdfast serve", "a token that it knows", "another one"
            )
            return self._refused(told)
        answer = self._responses.Response(
            problem.written({"who": who}), 200, None, "application/json"
        )
        answer.set_cookie(
            COOKIE.get(),
            self._settings.sessions.begin(who),
            max_age=int(LASTING),
            secure=SECURE.get(),
            httponly=True,
            samesite="strict",
            path="/",
        )
        return answer

    def _sign_out(self) -> Any:
        self._settings.sessions.end(SESSION.get())
        answer = self._responses.Response(status_code=204)
        answer.delete_cookie(COOKIE.get(), path="/", httponly=True, samesite="strict")
        return answer


_SAID = {
    400: "A path or a body that is not UTF-8, or no JSON",
    401: "No token, or a wrong one",
    403: "No token is set, or the request came from elsewhere",
    404: "Not there",
    408: "The body came too slowly",
    409: "The state of the upgrade forbids it",
    413: "Too large",
    421: "The request names another host than this one",
    422: "The request cannot be used; nothing was written",
    500: "A defect of ours",
    501: "A package is not installed that this needs",
    502: "A model gave no usable answer",
    503: "Not now; it may pass",
}
_ANY = (401, 408, 413, 421, 500)  # whatever is asked for


def _know_whole_paths() -> None:
    """Let ids hold line breaks; `path` drops the last one, and means another item then."""
    convertors = need("starlette.convertors")
    whole = convertors.PathConvertor()
    whole.regex = "(?s:.*)"
    convertors.register_url_convertor("whole", whole)


def _name_token(app: Any) -> None:
    """The token, as clients that are made from the description have to send it."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        told: dict[str, Any] = described()
        told["components"]["securitySchemes"] = {_TOKEN: {"type": "http", "scheme": "bearer"}}
        return told

    app.openapi = openapi
