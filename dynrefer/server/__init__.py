"""HTTP for programs: `/v1` beside the page on the same port, or alone; and a model backend of Label Studio."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

from dynrefer.devices import freed_memory_returned
from dynrefer.errors import InputError

if TYPE_CHECKING:
    from fastapi import FastAPI


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
