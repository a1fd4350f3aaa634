"""A hub for one data set, on this machine: the requests of `datasets` and `huggingface_hub`, answered over HTTP."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class FakeHub:
    """Data sets by name: {path in the repository: bytes}. `commit` is the newest revision, and changes with content."""

    def __init__(self, repos, gated=()):
        self.repos = repos
        self.gated = gated
        self.asked = []

    def commit(self, repo):
        return hashlib.sha1(repr(sorted(self.repos[repo].items())).encode()).hexdigest()

    def environment(self, cache):
        """What a process needs to ask this hub and no other, with a cache of its own."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(cache),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }

    @contextmanager
    def serve(self):
        hub = self

        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.answer(self)

            do_HEAD = do_POST = do_GET

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def answer(self, request):
        path = unquote(urlsplit(request.path).path)
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.asked.append(f"{request.command} {path}")
        repo = next((name for name in [*self.repos, *self.gated] if f"datasets/{name}" in path), None)
        if repo is None:
            return self._send(request, 401, b"{}", {"X-Error-Code": "RepoNotFound"})
        if repo in self.gated:
            return self._send(request, 401, b"{}", {"X-Error-Code": "GatedRepo"})
        rest = path.split(f"datasets/{repo}", 1)[1].strip("/").split("/")
        files, commit = self.repos[repo], self.commit(repo)
        if path.startswith("/api/"):
            return self._send(request, 200, json.dumps(self._api(repo, rest, body, files, commit)).encode(), {})
        return self._resolve(request, "/".join(rest[2:]), files, commit)

    def _api(self, repo, rest, body, files, commit):
        if rest[0] == "tree":
            return self._tree("/".join(rest[2:]), files)
        if rest[0] == "paths-info":
            wanted = json.loads(body)["paths"] if body.startswith(b"{") else []
            return [self._entry(name, files[name]) for name in wanted if name in files]
        siblings = [{"rfilename": name} for name in files]
        return {
            "_id": "0",
            "id": repo,
            "sha": commit,
            "private": False,
            "gated": False,
            "siblings": siblings,
            "tags": [],
        }

    def _tree(self, folder, files):
        """Files and folders that lie in a folder itself."""
        start = f"{folder}/" if folder else ""
        inside = [name.removeprefix(start) for name in files if name.startswith(start)]
        folders = sorted({name.split("/")[0] for name in inside if "/" in name})
        found = [self._entry(start + name, files[start + name]) for name in inside if "/" not in name]
        return found + [{"type": "directory", "path": start + name, "size": 0, "oid": "0"} for name in folders]

    def _entry(self, name, content):
        return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def _resolve(self, request, name, files, commit):
        if name not in files:
            return self._send(request, 404, b"", {"X-Error-Code": "EntryNotFound"})
        content = files[name]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
        return self._send(request, 200, content, headers)

    def _send(self, request, code, content, headers):
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)
