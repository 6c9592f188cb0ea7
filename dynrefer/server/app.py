"""The routes put together, to be served alone or beside the page on its port."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route

from dynrefer.devices import freed_memory_returned
from dynrefer.errors import InputError
from dynrefer.predictor import Predictor
from dynrefer.server.intake import Drained, RefusedError
from dynrefer.server.metrics import Counted
from dynrefer.server.schema import BODY, PROPOSE_BODY, PROPOSED, RESPONSES
from dynrefer.server.service import PROPOSE, REGIONS, Service

TOKEN = "DYNREFER_TOKEN"
MODELS, OPENAPI, HEALTH, READY, METRICS = "/v1/models", "/v1/openapi.json", "/health", "/ready", "/metrics"
PATHS = (REGIONS, PROPOSE, MODELS, OPENAPI, HEALTH, READY, METRICS)
PORT = 7860


def build_service(predictor: Predictor, token: str | None = None) -> FastAPI:
    """The service around one `predictor`, which it begins to warm up.

    token: what requests have to name; None for that of the environment variable DYNREFER_TOKEN, "" for none.
    """
    service = Service(predictor, os.environ.get(TOKEN) if token is None else token)
    app = FastAPI(title="DynRefer", version="1", openapi_url=OPENAPI, docs_url=None, redoc_url=None)
    app.state.service = service
    app.add_middleware(Drained)
    app.add_middleware(Counted, metrics=service.metrics, paths=PATHS)
    app.add_exception_handler(RefusedError, service.refuse)
    app.add_exception_handler(InputError, service.refuse)
    app.add_exception_handler(HTTPException, service.refuse)
    known: dict[str, Any] = {"dependencies": [Depends(service.authorise)], "response_class": JSONResponse}
    extra: dict[str, Any] = {} if service.guarded else {"security": [{}]}  # beside the token: nothing
    asked, proposed = ({"requestBody": body, **extra} for body in (BODY, PROPOSE_BODY))
    app.add_api_route(REGIONS, service.regions, methods=["POST"], responses=RESPONSES, openapi_extra=asked, **known)
    app.add_api_route(PROPOSE, service.propose, methods=["POST"], responses=PROPOSED, openapi_extra=proposed, **known)
    known |= {"responses": {401: RESPONSES[401]}, "openapi_extra": extra}
    app.add_api_route(MODELS, service.models, **known)
    app.add_api_route(METRICS, service.counters, **known | {"response_class": PlainTextResponse})
    for path, answer in ((HEALTH, service.health), (READY, service.readiness)):
        app.add_api_route(path, answer)
        app.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)  # as many monitors ask
    threading.Thread(target=service.warm_up, name="warm-up").start()  # a program that ends within torch would abort
    return app


def with_service(options: dict[str, Any], predictor: Predictor) -> dict[str, Any]:
    """Arguments of `gr.Blocks.launch` that serve `/v1` and its companions beside the page, on its port."""
    service = build_service(predictor)
    given = options.get("app_kwargs") or {}
    routes = [*given.get("routes", []), *(Route(path, service) for path in PATHS), Route("/v1/{rest:path}", service)]
    return {**options, "app_kwargs": {**given, "routes": routes}}


def listening(host: str, port: int) -> socket.socket:
    """A socket on the port, to be had before a model runs in threads. Raises InputError where it cannot be."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) in (socket.EAI_NONAME, errno.EADDRNOTAVAIL):
            raise InputError(f"{host} is no address of this machine; choose another with --host") from error
        why = getattr(error, "strerror", None) or error
        raise InputError(f"the port {port} of {host} cannot be used ({why}); choose another with --port") from error


def run(build: Callable[[], FastAPI], host: str, port: int) -> None:
    """Serve the app that is built, until stopped. Raises InputError where the port cannot be had."""
    with listening(host, port) as ours, freed_memory_returned(), suppress(KeyboardInterrupt):
        uvicorn.Server(uvicorn.Config(build())).run([ours])


def serve(predictor: Predictor, host: str | None = None, port: int | None = None) -> None:
    """Serve `/v1` alone until stopped. Raises InputError where the port cannot be had."""
    run(partial(build_service, predictor), host or "127.0.0.1", port or PORT)
