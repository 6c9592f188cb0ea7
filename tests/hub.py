"""A small Hub on localhost: takes what `huggingface_hub` really sends and keeps the commit."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

import huggingface_hub


class Hub(ThreadingHTTPServer):
    """Repositories as {kind/name: {path: content}}; `created` holds what was asked for a new one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.created: list[dict[str, Any]] = []
        self.refuses = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, repository: str, lines: list[dict[str, Any]]) -> None:
        content = self.repositories[repository]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                content[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del content[value["path"]]


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""

    def do_GET(self) -> None:
        if self.server.refuses:
            self._refuse()
            return
        _, _, kind, user, name, *_ = self.path.split("/")
        files = self.server.repositories[f"{kind}/{user}/{name}"]
        self._answer([{"type": "file", "path": path, "size": len(files[path]), "oid": "0"} for path in files])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.server.refuses:
            self._refuse()
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.server.created.append(asked)
            self.server.repositories.setdefault(f"{asked.get('type', 'model')}s/{name}", {})
            self._answer({"url": f"{self.server.url}/{name}"})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            plan = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            self._answer({"files": [{"path": file["path"], **plan} for file in asked]})
        else:
            _, _, kind, user, name, *_ = self.path.split("/")
            self.server.commit(f"{kind}/{user}/{name}", [json.loads(line) for line in body.splitlines()])
            self._answer({"commitUrl": f"{self.server.url}/{user}/{name}/commit/0", "commitOid": "0"})

    def _refuse(self) -> None:
        self._answer({"error": "Invalid username or password."}, status=401)

    def _answer(self, content: object, status: int = 200) -> None:
        payload = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


@contextmanager
def local_hub() -> Iterator[Hub]:
    hub = Hub()
    online = mock.patch.object(huggingface_hub.constants, "HF_HUB_OFFLINE", False)  # this Hub is on this machine
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        with online:
            yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
