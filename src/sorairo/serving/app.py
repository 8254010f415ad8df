"""The ASGI app: routes, errors, the page."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import Request as Call
from starlette.responses import FileResponse, JSONResponse, Response

from sorairo.files import FULL
from sorairo.serving.catalog import without_folders
from sorairo.serving.database import Database, new_id
from sorairo.serving.errors import ApiError, body_of
from sorairo.serving.housekeeping import Housekeeper
from sorairo.serving.inputs import Inputs
from sorairo.serving.limits import BodyLimit, Pace, TooLarge, TooSlow, check_host, check_origin
from sorairo.serving.made import MadeIndex
from sorairo.serving.metrics import Metrics
from sorairo.serving.moderation import moderation
from sorairo.serving.routes import (
    admin,
    batches,
    characters,
    events,
    files,
    images,
    ours,
    redteam,
    service,
    videos,
    webhooks,
)
from sorairo.serving.service import Service
from sorairo.serving.settings import Settings
from sorairo.serving.storage import Store
from sorairo.serving.submit import full
from sorairo.types import Blocked, UserError
from sorairo.version import VERSION

__all__ = ["create_app"]

log = logging.getLogger("sorairo.serving")

PAGE = Path(__file__).parent / "page" / "dist"
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


NOWHERE = {
    "Not Found": "There is nothing at {path}; the API is described at /docs.",
    "Method Not Allowed": "{method} does nothing at {path}; the API is described at /docs.",
}
"""What is said in place of the framework's own words."""


def create_app(settings: Settings, *, housekeeping: bool = True) -> FastAPI:
    """The API over a database and a store, which are made ready. Raises UserError.

    housekeeping: a thread that sends webhooks, ends batches and removes what has expired.
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    database = Database(settings.url)
    database.migrate()
    store = Store(settings.files, settings.folder / "cache")
    here = Service(
        settings=settings,
        database=database,
        store=store,
        inputs=Inputs(settings, database, store),
        metrics=Metrics(),
        made=MadeIndex(database),
    )
    keeper = Housekeeper(here)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        if housekeeping:
            keeper.start()
        yield
        keeper.stop()
        database.close()

    app = FastAPIOffline(  # FastAPI itself has /docs load its scripts from another host
        title="Sorairo",
        version=VERSION,
        lifespan=life,
        docs_url="/docs",
        redoc_url=None,
        favicon_url="/studio/icon.svg",
        separate_input_output_schemas=False,
    )
    app.state.settings, app.state.service, app.state.pace, app.state.keeper = settings, here, Pace(), keeper
    for part in (service, admin, characters, videos, files, webhooks, batches, images, redteam, ours, events):
        app.include_router(part.router)
    app.include_router(ours.checks)
    _page(app)
    _errors(app)
    _around(app, here)
    if settings.cors:
        from starlette.middleware.cors import CORSMiddleware

        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.cors), allow_methods=["*"], allow_headers=["*"]
        )
    app.add_middleware(BodyLimit, most=settings.max_body, seconds=settings.upload)
    return app


def _page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def studio() -> Response:
        return _asset("index.html", "no-cache")

    @app.get("/studio/{name}", include_in_schema=False)
    def asset(name: str) -> Response:
        return _asset(name, "no-cache")


def _asset(name: str, cache: str) -> Response:
    path = PAGE / name
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or not path.is_file():
        raise ApiError(404, "That page is not part of this installation; the API is at /v1 and /docs.")
    headers = {"Cache-Control": cache, "Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
    return FileResponse(path, headers=headers)


def _answer(
    call: Call,
    status: int,
    message: str,
    param: str | None = None,
    code: str | None = None,
    more: dict[str, Any] | None = None,
) -> JSONResponse:
    return JSONResponse(body_of(status, message, param, code, more), status)


def _errors(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    def api(call: Call, error: ApiError) -> Response:
        answer = _answer(call, error.status, error.message, error.param, error.code, error.more)
        answer.headers.update(error.headers)
        return answer

    @app.exception_handler(UserError)
    def user(call: Call, error: UserError) -> Response:
        if isinstance(error, Blocked):
            return _answer(call, 400, str(error), code="moderation_blocked", more=moderation(error.verdict))
        return _answer(call, 400, without_folders(call.app.state.settings, str(error)))

    @app.exception_handler(RequestValidationError)
    def invalid(call: Call, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = str(first["loc"][-1])
        return _answer(call, 400, f"{field}: {first['msg']}.", field)

    @app.exception_handler(HTTPException)
    def http(call: Call, error: HTTPException) -> Response:
        words = NOWHERE.get(str(error.detail))
        where = repr(call.url.path[:80])
        said = words.format(method=call.method, path=where) if words else str(error.detail)
        answer = _answer(call, error.status_code, said)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(TooLarge)
    def large(call: Call, error: TooLarge) -> Response:
        return _refused(call, call.app.state.settings, error)

    @app.exception_handler(OSError)
    def disk(call: Call, error: OSError) -> Response:
        if error.errno not in FULL:
            raise error
        return api(call, full())

    @app.exception_handler(OperationalError)
    def database(call: Call, error: OperationalError) -> Response:
        log.error(json.dumps({"event": "database", "error": str(error.orig)}))
        answer = _answer(call, 503, "The database does not answer; try again.", code="database")
        answer.headers["Retry-After"] = "2"
        return answer


def _large(error: BaseException | None) -> TooLarge | None:
    """The body that is too large or too slow behind an error, whatever it was wrapped into on its way."""
    while error is not None and not isinstance(error, TooLarge):
        error = error.__cause__ or error.__context__
    return error


def _refused(call: Call, settings: Settings, error: TooLarge) -> JSONResponse:
    if isinstance(error, TooSlow):
        most = f"{settings.upload:g}"
        answer = _answer(call, 408, f"The body took more than {most} s to arrive.", code="body_too_slow")
        answer.headers["Connection"] = "close"
        return answer
    most = settings.max_body // 2**20
    return _answer(call, 413, f"The body is larger than {most} MB.", code="body_too_large")


def _around(app: FastAPI, here: Service) -> None:
    """A request id, one line of log, security headers, and the checks that come before any route."""

    @app.middleware("http")
    async def around(call: Call, go_on: Callable[[Call], Awaitable[Response]]) -> Response:
        start, name = time.perf_counter(), new_id("req")
        settings = here.settings
        call.state.id = name
        problem = ""
        try:
            check_host(call, settings.hosts)
            check_origin(call, settings.cors)
            length = call.headers.get("content-length", "0")
            if not (length.isascii() and length.isdigit()) or int(length[:20]) > settings.max_body:
                raise TooLarge
            response = await go_on(call)
        except ApiError as error:
            response = _answer(call, error.status, error.message, error.param, error.code)
        except Exception as error:
            if (body := _large(error)) is None:
                problem = f"{type(error).__name__}: {error}"
                log.exception("request %s", name)
                response = _answer(call, 500, "The server failed; its log has more under this request id.")
            else:
                response = _refused(call, settings, body)
        spent = time.perf_counter() - start
        response.headers["x-request-id"] = name
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        route = getattr(call.scope.get("route"), "path", "none")
        here.metrics.calls.labels(call.method, route, response.status_code).inc()
        here.metrics.seconds.labels(route).observe(spent)
        line = {
            "time": time.time(),
            "request_id": name,
            "method": call.method,
            "path": call.url.path,
            "status": response.status_code,
            "ms": round(spent * 1000, 1),
        }
        log.info(json.dumps(line | ({"error": problem} if problem else {})))
        return response
