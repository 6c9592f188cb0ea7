"""Photographs that others send, name by a URL or write as text: how large they may be, and how they are fetched."""

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import httpx
import safehttpx

from dynrefer.errors import InputError, shown

MAX_FILE_MEGABYTES = 20
MAX_FILE_BYTES = MAX_FILE_MEGABYTES * 2**20
DOWNLOAD_SECONDS = 30
MAX_REDIRECTS = 5
TOO_LARGE = f"the photograph is too large; the limit is {MAX_FILE_MEGABYTES} MB, so make it smaller first"


def read_data_url(url: str) -> bytes:
    """The content of a base64 data URL; InputError where it is none or too large."""
    head, _, content = url.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64"):
        raise InputError("a photograph in the text must be a data URL like data:image/jpeg;base64,...")
    if len(content) * 3 / 4 > MAX_FILE_BYTES:
        raise InputError(TOO_LARGE)
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("the data URL of the photograph is damaged: its base64 cannot be decoded") from error


async def public_transport(host: str) -> httpx.AsyncBaseTransport:
    """A connection to one of the host's public addresses; InputError where it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"there is no host {shown(host)}; is the URL right?") from error
    for *_, address in found:
        if _is_public(str(address[0])):
            return safehttpx.AsyncSecureTransport(str(address[0]))
    raise InputError(f"no photograph can be fetched from {shown(host)}: it has no public address")


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_global and not address.is_multicast


Connect = Callable[[str], Awaitable[httpx.AsyncBaseTransport]]


async def fetch(url: str, connect: Connect | None = None) -> bytes:
    """The content behind an https URL; counts bytes while it reads. Raises InputError in one sentence."""
    host = "that address"
    try:
        host = urlsplit(url).hostname or host
        async with asyncio.timeout(DOWNLOAD_SECONDS):
            return await _fetch(url, connect or public_transport)
    except TimeoutError as error:
        raise InputError(f"{shown(host)} took more than {DOWNLOAD_SECONDS} seconds to send the photograph") from error
    except InputError:
        raise
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise InputError(f"the photograph could not be fetched from {shown(host)}; is the URL right?") from error


async def _fetch(url: str, connect: Connect) -> bytes:
    for _ in range(MAX_REDIRECTS):
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise InputError("a photograph's URL must begin with https://")
        async with (
            httpx.AsyncClient(transport=await connect(parts.hostname)) as client,
            client.stream("GET", url) as response,
        ):
            if response.has_redirect_location:
                url = urljoin(url, response.headers["Location"])
                continue
            if response.status_code != 200:
                raise InputError(f"{shown(parts.hostname)} answered {response.status_code} instead of the photograph")
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_FILE_BYTES:
                    raise InputError(TOO_LARGE)
            return bytes(content)
    raise InputError(f"the photograph's URL leads on to another more than {MAX_REDIRECTS} times")


def within_limit(path: Path) -> Path:
    """The path of an uploaded file. Raises InputError where it is too large."""
    if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
        raise InputError(TOO_LARGE)
    return path


async def download(url: str, cache_dir: str) -> str:
    """Fetch a URL into a file below `cache_dir`; its path.

    Takes the place of Gradio's own download, which reads a body of any length into memory.
    """
    name = Path(unquote(urlsplit(url).path)).name
    folder = Path(cache_dir) / hashlib.sha256(url.encode()).hexdigest()
    path = folder / ("".join(letter for letter in name if letter.isalnum() or letter in "._- ")[-80:] or "photograph")
    content = await fetch(url)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path.resolve())
