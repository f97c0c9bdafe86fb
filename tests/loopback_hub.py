"""A Hugging Face Hub on this machine, as far as its real client needs one.

Repositories are lists of commits in memory, newest last; a commit is a dict of file name to
bytes. Tests read and write them directly and plant faults through `Hub.fault`.
"""

import base64
import hashlib
import json
import re
import socket
import sys
import threading
import traceback
from collections.abc import Container
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

ROUTE = r"/(?:api/(?:models|spaces)/|spaces/)?(?P<repo>[\w.-]+/[\w.-]+?)"
OWNER = "maintainer"
WRITE_TOKEN, READ_TOKEN = "hf_write", "hf_read"


def commit_id(files: dict[str, bytes], number: int) -> str:
    digest = hashlib.sha1(str(number).encode())
    for name, content in sorted(files.items()):
        digest.update(name.encode() + content)
    return digest.hexdigest()


def tell_of_errors(request, address) -> None:
    """Print what went wrong, unless it is only that a client did not wait for its answer."""
    if not isinstance(sys.exception(), ConnectionError):
        traceback.print_exc()


class Hub:
    """A server on a free port of the loopback address; `commits` and `fault` are the tests'."""

    def __init__(self):
        self.port = 0
        self.clear()
        self.start()

    def clear(self) -> None:
        """Be as new."""
        self.commits: dict[str, list[dict[str, bytes]]] = {}
        self.tags: dict[tuple[str, str], str] = {}  # of a repository and a tag, the commit
        self.renamed: dict[str, str] = {}  # of a repository's old name, the new one
        self.jobs: list[dict] = []  # as they were ordered
        self.created: list[dict] = []  # what was asked of each repository that was made
        self.pays = True  # whether the account may host a Gradio Space on a CPU
        # Called with the request's handler before it is answered; True says that it has
        # dealt with the request itself.
        self.fault = lambda request: False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        handler = type("Handler", (RequestHandler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self.server.daemon_threads = True
        self.server.handle_error = tell_of_errors
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """From now on connections are refused, until `start`."""
        self.server.shutdown()
        self.server.server_close()

    def add(self, repo: str, files: dict[str, bytes], deleted: Container[str] = ()) -> str:
        """Add a commit of these files, without those that are deleted; give its id."""
        history = self.commits.setdefault(repo, [{}])
        kept = {name: file for name, file in history[-1].items() if name not in deleted}
        history.append({**kept, **files})
        return self.head(repo)

    def head(self, repo: str) -> str:
        history = self.commits[repo]
        return commit_id(history[-1], len(history))

    def files_at(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Give a revision's commit id and files, or None if there is no such revision."""
        revision = self.tags.get((repo, revision), revision)
        history = enumerate(self.commits[repo], 1)
        by_id = {commit_id(files, number): files for number, files in history}
        commit = self.head(repo) if revision == "main" else revision
        return (commit, by_id[commit]) if commit in by_id else None


class RequestHandler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.path = unquote(urlsplit(self.path).path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.hub.fault(self):
            self.route()

    do_HEAD = do_POST = do_GET

    def route(self):
        for old, new in self.hub.renamed.items():
            if old in self.path:
                return self.send(307, Location=self.path.replace(old, new))
        for method, pattern, answer in ROUTES:
            match = re.fullmatch(pattern, self.path)
            if match and method in (self.command, "ANY"):
                return answer(self, **match.groupdict())
        return self.send(404, {"error": "no such route"})

    def send(self, status: int, body=b"", **headers):
        """Answer with bytes, or with JSON."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str | None = None, message: str = "refused"):
        headers = {"X_Error_Code": code} if code else {}
        self.send(status, {"error": message}, X_Error_Message=message, **headers)

    @property
    def token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def may_write(self) -> bool:
        return self.token == WRITE_TOKEN

    def found(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return a revision's commit id and files, or answer that there is none."""
        if repo not in self.hub.commits:
            return self.refuse(404, "RepoNotFound", "Repository not found")
        found = self.hub.files_at(repo, revision)
        return found or self.refuse(404, "RevisionNotFound", "Invalid rev id")

    # The routes

    def whoami(self):
        if self.token not in (WRITE_TOKEN, READ_TOKEN):
            return self.refuse(401, message="Invalid username or password.")
        role = "write" if self.may_write() else "read"
        self.send(200, {"type": "user", "name": OWNER, "auth": {"accessToken": {"role": role}}})

    def create(self):
        wanted = json.loads(self.body)
        repo = f"{wanted.get('organization') or OWNER}/{wanted['name']}"
        if not self.may_write() or not repo.startswith(f"{OWNER}/"):
            return self.refuse(403, message="You don't have the rights to create a model.")
        on_cpu = wanted.get("type") == "space" and wanted.get("hardware") != "zero-a10g"
        if on_cpu and not self.hub.pays:
            return self.refuse(402, message="A Gradio Space on a CPU needs PRO.")
        url = {"url": f"{self.hub.url}/{repo}"}
        if repo in self.hub.commits:
            return self.send(409, {"error": "You already created this model repo", **url})
        self.hub.commits[repo] = [{}]
        self.hub.created.append(wanted)
        self.send(200, url)

    def auth_check(self, repo: str, write: str | None):
        if repo not in self.hub.commits:
            return self.refuse(404, "RepoNotFound")
        if write and not self.may_write():
            return self.refuse(403, message="This token may only read.")
        self.send(200, {})

    def info(self, repo: str, revision: str | None):
        if found := self.found(repo, revision or "main"):
            siblings = [{"rfilename": name} for name in found[1]]
            self.send(200, {"id": repo, "sha": found[0], "siblings": siblings})

    def tree(self, repo: str, revision: str):
        if found := self.found(repo, revision):
            about = {"type": "file", "oid": "0"}
            self.send(200, [{**about, "path": n, "size": len(f)} for n, f in found[1].items()])

    def validate_yaml(self):
        errors = [] if json.loads(self.body)["content"].startswith("---\n") else ["no metadata"]
        self.send(400 if errors else 200, {"errors": errors, "warnings": []})

    def preupload(self, repo: str, revision: str):
        there = self.hub.commits[repo][-1]

        def plan(path):
            plan = {"path": path, "uploadMode": "regular", "shouldIgnore": False}
            if path in there:  # the client leaves out what has not changed
                blob = b"blob %d\0%s" % (len(there[path]), there[path])
                plan["oid"] = hashlib.sha1(blob).hexdigest()
            return plan

        self.send(200, {"files": [plan(file["path"]) for file in json.loads(self.body)["files"]]})

    def commit(self, repo: str, revision: str):
        if not self.may_write():
            return self.refuse(403, message="This token may only read.")
        files, deleted = {}, set()
        for line in self.body.decode().splitlines():
            entry = json.loads(line)
            key, value = entry["key"], entry["value"]
            if key == "header" and value.get("parentCommit") not in (None, self.hub.head(repo)):
                return self.refuse(412, message="A commit has happened since.")
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            if key == "deletedFile":
                deleted.add(value["path"])
        oid = self.hub.add(repo, files, deleted)
        self.send(200, {"commitUrl": f"{self.hub.url}/{repo}/commit/{oid}", "commitOid": oid})

    def tag(self, repo: str, revision: str):
        name = json.loads(self.body)["tag"]
        if (repo, name) in self.hub.tags:
            return self.refuse(409, message="Tag already exists")
        self.hub.tags[repo, name] = self.hub.files_at(repo, revision)[0]
        self.send(200, {})

    def order_job(self, owner: str):
        self.hub.jobs.append(json.loads(self.body))
        job = {"id": "1", "createdAt": "2026-01-01T00:00:00.000Z", "status": {"stage": "RUNNING"}}
        owner = {"id": "1", "name": owner, "type": "user"}
        self.send(200, {**self.hub.jobs[-1], **job, "owner": owner})

    def resolve(self, repo: str, revision: str, name: str):
        if found := self.found(repo, revision):
            commit, files = found
            if name not in files:
                return self.send(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            etag = hashlib.sha256(files[name]).hexdigest()
            self.send(200, files[name], X_Repo_Commit=commit, ETag=f'"{etag}"')


ROUTES = [
    ("GET", r"/api/whoami-v2", RequestHandler.whoami),
    ("POST", r"/api/repos/create", RequestHandler.create),
    ("POST", r"/api/validate-yaml", RequestHandler.validate_yaml),
    ("GET", ROUTE + r"/auth-check(?P<write>/write)?", RequestHandler.auth_check),
    ("GET", ROUTE + r"/tree/(?P<revision>[^/]+)", RequestHandler.tree),
    ("POST", ROUTE + r"/preupload/(?P<revision>[^/]+)", RequestHandler.preupload),
    ("POST", ROUTE + r"/tag/(?P<revision>[^/]+)", RequestHandler.tag),
    ("POST", r"/api/jobs/(?P<owner>[\w-]+)", RequestHandler.order_job),
    ("POST", ROUTE + r"/commit/(?P<revision>[^/]+)", RequestHandler.commit),
    ("ANY", ROUTE + r"/resolve/(?P<revision>[^/]+)/(?P<name>.+)", RequestHandler.resolve),
    ("GET", ROUTE + r"(?:/revision/(?P<revision>[^/]+))?", RequestHandler.info),
]


# Faults for `Hub.fault`


def disconnect(request) -> bool:
    """Close the connection without an answer."""
    request.connection.shutdown(socket.SHUT_RDWR)
    request.close_connection = True
    return True


def status(code, **headers):
    """Return the fault that answers with an HTTP status."""

    def fault(request):
        request.send(code, {"error": "refused"}, X_Error_Message="refused", **headers)
        return True

    return fault


def stall(request) -> bool:
    """Answer nothing for longer than a client waits."""
    threading.Event().wait(30)
    return True
