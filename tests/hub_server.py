"""A Hugging Face Hub on loopback: the calls that create a model repository and commit to it.

Speaks what huggingface_hub 1.0 to 2.4 sends without xet: repos/create, model info, validate-yaml,
preupload, LFS batch, upload (basic and multipart) and verify, commit. It keeps every request line,
every commit and the files at the head.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import ceil
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import yaml

LFS_SUFFIXES = (".safetensors", ".bin", ".parquet")
REGULAR_BYTES = 10 * 2**20
"""Files beyond this are LFS whatever their name."""


@dataclass(slots=True)
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    """Summaries, the first one from the creation."""

    @property
    def head(self) -> str:
        return hashlib.sha1(repr(self.commits).encode()).hexdigest()

    @property
    def card(self) -> dict[str, Any]:
        text = self.files.get("README.md", b"").decode()
        return yaml.safe_load(text.split("---")[1]) if text.startswith("---\n") else {}


@dataclass(slots=True)
class Hub:
    """State and wishes: `keys` maps a key to the namespaces that it may write to."""

    url: str
    keys: dict[str, tuple[str, ...]]
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    multipart_bytes: int = 0
    """Upload LFS objects in parts of this size; 0 uploads them whole."""
    fails: dict[str, int] = field(default_factory=dict)
    """Status to answer with, for requests whose line contains the text."""

    def seed(self, name: str, files: dict[str, bytes], *, private: bool = False) -> Repository:
        """A repository that is there already."""
        first = {".gitattributes": b"*.safetensors filter=lfs\n"}
        self.repositories[name] = Repository(private, first | files, ["initial commit"])
        return self.repositories[name]


class Refused(Exception):
    """An answer other than success."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        body = self._body()
        self.hub.requests.append(f"{self.command} {path}")
        headers: dict[str, str] = {}
        try:
            self._fail_as_wished(f"{self.command} {path}")
            status, content, headers = self._route(path.strip("/").split("/"), body)
        except Refused as refusal:
            status, content = refusal.status, {"error": str(refusal)}
            headers = {"X-Error-Message": str(refusal)}
            headers |= {"X-Error-Code": refusal.code} if refusal.code else {}
        payload = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(payload))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _fail_as_wished(self, line: str) -> None:
        for text, status in self.hub.fails.items():
            if text in line:
                raise Refused(status, "as the test wished")

    def _route(self, path: list[str], body: bytes) -> tuple[int, Any, dict[str, str]]:
        match self.command, path:
            case "POST", ["api", "repos", "create"]:
                return 200, self._create(json.loads(body)), {}
            case "POST", ["api", "validate-yaml"]:
                return 200, self._validate(json.loads(body)), {}
            case "GET", ["api", "models", user, name, *_]:
                return 200, self._info(f"{user}/{name}"), {}
            case "POST", ["api", "models", user, name, "preupload", "main"]:
                repository = self._writable(f"{user}/{name}")
                return 200, preupload(repository, json.loads(body)), {}
            case "POST", [user, git, "info", "lfs", "objects", "batch"]:
                self._writable(f"{user}/{git.removesuffix('.git')}")
                return 200, self._batch(json.loads(body)), {}
            case "PUT", ["storage", oid, *part]:
                return 200, {}, {"ETag": self._store(oid, part, body)}
            case "POST", ["complete", oid]:
                return 200, self._complete(oid, json.loads(body)), {}
            case "POST", ["verify", oid]:
                self._user()
                return 200, self._verify(oid, json.loads(body)), {}
            case "POST", ["api", "models", user, name, "commit", "main"]:
                return 200, self._commit(f"{user}/{name}", body), {}
        raise Refused(404, f"no such call: {self.command} {self.path}")

    def _user(self) -> tuple[str, ...]:
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if key not in self.hub.keys:
            raise Refused(401, "Invalid credentials in Authorization header")
        return self.hub.keys[key]

    def _readable(self, name: str) -> Repository:
        namespaces = self._user()
        found = self.hub.repositories.get(name)
        if found is None or (found.private and name.split("/")[0] not in namespaces):
            raise Refused(404, "Repository not found", "RepoNotFound")
        return found

    def _writable(self, name: str) -> Repository:
        found = self._readable(name)
        if name.split("/")[0] not in self._user():
            raise Refused(403, f"You don't have the rights to write to {name}")
        return found

    def _create(self, asked: dict[str, Any]) -> Any:
        namespaces = self._user()
        owner = asked["organization"] or namespaces[0]
        name = f"{owner}/{asked['name']}"
        if owner not in namespaces:
            raise Refused(403, f"You don't have the rights to create a model under {owner!r}")
        if name in self.hub.repositories:
            raise Refused(409, "You already created this model repo")
        self.hub.seed(name, {}, private=asked.get("visibility") == "private")
        return {"url": f"{self.hub.url}/{name}", "name": name}

    def _validate(self, asked: dict[str, Any]) -> Any:
        assert asked["repoType"] == "model"
        _, head, _ = asked["content"].split("---\n", 2)
        assert isinstance(yaml.safe_load(head), dict)
        return {"errors": [], "warnings": []}

    def _info(self, name: str) -> Any:
        found = self._readable(name)
        return {
            "id": name,
            "modelId": name,
            "sha": found.head,
            "private": found.private,
            "tags": found.card.get("tags", []),
            "siblings": [{"rfilename": path} for path in sorted(found.files)],
        }

    def _batch(self, asked: dict[str, Any]) -> Any:
        assert asked["operation"] == "upload" and asked["hash_algo"] == "sha256"
        return {"transfer": "basic", "objects": [self._action(each) for each in asked["objects"]]}

    def _action(self, wanted: dict[str, Any]) -> Any:
        oid, size, url = wanted["oid"], wanted["size"], self.hub.url
        if oid in self.hub.objects:
            return {"oid": oid, "size": size}
        upload: dict[str, Any] = {"href": f"{url}/storage/{oid}"}
        if chunk := self.hub.multipart_bytes:
            parts = {str(n): f"{url}/storage/{oid}/{n}" for n in range(1, ceil(size / chunk) + 1)}
            upload = {
                "href": f"{url}/complete/{oid}",
                "header": {"chunk_size": str(chunk), **parts},
            }
        actions = {"upload": upload, "verify": {"href": f"{url}/verify/{oid}"}}
        return {"oid": oid, "size": size, "authenticated": True, "actions": actions}

    def _store(self, oid: str, part: list[str], body: bytes) -> str:
        if "Authorization" in self.headers:
            raise Refused(400, "a signed address takes no key")
        if part:
            self.hub.parts[f"{oid}/{part[0]}"] = body
        else:
            self.hub.objects[oid] = body
        return hashlib.md5(body).hexdigest()

    def _complete(self, oid: str, asked: dict[str, Any]) -> Any:
        parts = [self.hub.parts[f"{oid}/{each['partNumber']}"] for each in asked["parts"]]
        etags = [hashlib.md5(part).hexdigest() for part in parts]
        if etags != [each["etag"] for each in asked["parts"]]:
            raise Refused(400, "wrong etags")
        self.hub.objects[oid] = b"".join(parts)
        return {"success": True}

    def _verify(self, oid: str, asked: dict[str, Any]) -> Any:
        content = self.hub.objects.get(oid, b"")
        if (hashlib.sha256(content).hexdigest(), len(content)) != (oid, asked["size"]):
            raise Refused(400, "the object is not what was announced")
        return {}

    def _commit(self, name: str, body: bytes) -> Any:
        found = self._writable(name)
        assert self.headers["Content-Type"] == "application/x-ndjson"
        header, *operations = [json.loads(line) for line in body.splitlines()]
        assert header["key"] == "header" and header["value"]["summary"]
        files = dict(found.files)
        for operation in operations:
            apply(files, self.hub.objects, operation["key"], operation["value"])
        found.files = files
        found.commits.append(header["value"]["summary"])
        return {"commitUrl": f"{self.hub.url}/{name}/commit/{found.head}", "commitOid": found.head}


def preupload(repository: Repository, asked: dict[str, Any]) -> Any:
    """How each file is to be sent, and what the head holds under its name."""
    answers = []
    for each in asked["files"]:
        path = each["path"]
        is_lfs = path.endswith(LFS_SUFFIXES) or each["size"] > REGULAR_BYTES
        answer = {
            "path": path,
            "uploadMode": "lfs" if is_lfs else "regular",
            "shouldIgnore": False,
        }
        if path in repository.files:
            content = repository.files[path]
            blob = b"blob %d\0" % len(content) + content
            digest = hashlib.sha256(content) if is_lfs else hashlib.sha1(blob)
            answer["oid"] = digest.hexdigest()
        answers.append(answer)
    return {"files": answers}


def apply(files: dict[str, bytes], objects: dict[str, bytes], key: str, value: Any) -> None:
    """One operation of a commit."""
    match key:
        case "file":
            assert value["encoding"] == "base64"
            files[value["path"]] = base64.b64decode(value["content"])
        case "lfsFile":
            if value["oid"] not in objects:
                raise Refused(400, f"LFS pointer to an object that was not uploaded: {value}")
            files[value["path"]] = objects[value["oid"]]
        case "deletedFile":
            del files[value["path"]]
        case _:
            raise Refused(400, f"unknown operation {key}")


@contextmanager
def running_hub(**keys: tuple[str, ...]) -> Iterator[Hub]:
    """A Hub on a free loopback port; `keys` as in `Hub.keys`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub = Hub(f"http://127.0.0.1:{server.server_address[1]}", keys)
    server.RequestHandlerClass = type("BoundHandler", (Handler,), {"hub": hub})
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
