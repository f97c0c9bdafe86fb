"""A Hugging Face Hub on this machine, as far as its real client needs one.

Repositories are lists of commits in memory, newest last; a commit is a dict of file name to
bytes. Tests read and write them directly and plant faults through `Hub.fault`.
"""

import base64
import hashlib
import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

OWNER, WRITE_TOKEN, READ_TOKEN = "maintainer", "hf_write", "hf_read"


class Hub(ThreadingHTTPServer):
    """A server on a free port of the loopback address; its attributes are the tests'."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), RequestHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.clear()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def clear(self) -> None:
        self.commits: dict[str, list[dict[str, bytes]]] = {}
        self.tags: dict[tuple[str, str], str] = {}  # of a repository and a tag, the commit
        self.jobs: list[dict] = []  # as they were ordered
        self.created: list[dict] = []  # what was asked of each repository that was made
        # Called with the request's handler; True says that it has dealt with the request itself.
        self.fault = lambda request: False

    def add(self, repo: str, files: dict[str, bytes], deleted=()) -> str:
        """Add a commit of these files, without those that are deleted; give its id."""
        history = self.commits.setdefault(repo, [{}])
        kept = {name: file for name, file in history[-1].items() if name not in deleted}
        history.append({**kept, **files})
        return self.head(repo)

    def ids(self, repo: str) -> list[str]:
        history = (repr((number, sorted(c.items()))) for number, c in enumerate(self.commits[repo]))
        return [hashlib.sha1(commit.encode()).hexdigest() for commit in history]

    def head(self, repo: str) -> str:
        return self.ids(repo)[-1]

    def files_at(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Give a revision's commit id and files, or None if there is no such revision."""
        by_id = dict(zip(self.ids(repo), self.commits[repo], strict=True))
        commit = self.tags.get((repo, revision), revision)
        commit = self.head(repo) if commit == "main" else commit
        return (commit, by_id[commit]) if commit in by_id else None


class RequestHandler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.hub = self.server
        self.path = unquote(urlsplit(self.path).path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        self.role = {WRITE_TOKEN: "write", READ_TOKEN: "read"}.get(token)
        if not self.hub.fault(self):
            self.route()

    do_HEAD = do_POST = do_GET

    def route(self):
        for method, pattern, answer in ROUTES:
            match = re.fullmatch(pattern, self.path)
            if match and self.command in method:
                return answer(self, **match.groupdict())
        return self.send(404, {"error": "no such route"})

    def send(self, status: int, body=b"", **headers):
        """Answer with bytes, or with JSON."""
        kind = {} if isinstance(body, bytes) else {"Content-Type": "application/json"}
        body = json.dumps(body).encode() if kind else body
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **kind, **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, message: str = "refused", **headers):
        self.send(status, {"error": message}, X_Error_Message=message, **headers)

    def found(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return a revision's commit id and files, or answer that there is none."""
        if repo not in self.hub.commits:
            return self.refuse(404, "Repository not found", X_Error_Code="RepoNotFound")
        found = self.hub.files_at(repo, revision)
        return found or self.refuse(404, "Invalid rev id", X_Error_Code="RevisionNotFound")

    def whoami(self):
        if not self.role:
            return self.refuse(401, "Invalid username or password.")
        token = {"accessToken": {"role": self.role}}
        self.send(200, {"type": "user", "name": OWNER, "auth": token})

    def create(self):
        wanted = json.loads(self.body)
        repo = f"{wanted.get('organization') or OWNER}/{wanted['name']}"
        if self.role != "write" or not repo.startswith(f"{OWNER}/"):
            return self.refuse(403, "You don't have the rights to create a model.")
        is_new = repo not in self.hub.commits
        if is_new:
            self.hub.commits[repo] = [{}]
            self.hub.created.append(wanted)
        self.send(200 if is_new else 409, {"url": f"{self.hub.url}/{repo}"})

    def auth_check(self, repo: str, write: str | None):
        if write and self.role != "write":
            return self.refuse(403, "This token may only read.")
        if self.found(repo, "main"):
            self.send(200, {})

    def info(self, repo: str, revision: str | None):
        if found := self.found(repo, revision or "main"):
            self.send(200, {"id": repo, "sha": found[0], "siblings": []})

    def tree(self, repo: str, revision: str):
        if found := self.found(repo, revision):
            about = {"type": "file", "oid": "0"}
            self.send(200, [{**about, "path": n, "size": len(f)} for n, f in found[1].items()])

    def preupload(self, repo: str, revision: str):
        files = self.hub.commits[repo][-1].items()  # the client leaves out what has not changed
        ids = {name: hashlib.sha1(b"blob %d\0%s" % (len(file), file)) for name, file in files}
        plan = {"uploadMode": "regular", "shouldIgnore": False}
        names = [file["path"] for file in json.loads(self.body)["files"]]
        oids = [{"oid": ids[name].hexdigest()} if name in ids else {} for name in names]
        plans = [{"path": name, **plan, **oid} for name, oid in zip(names, oids, strict=True)]
        self.send(200, {"files": plans})

    def commit(self, repo: str, revision: str):
        if self.role != "write":
            return self.refuse(403, "This token may only read.")
        entries = [json.loads(line) for line in self.body.splitlines()]
        values = {key: [e["value"] for e in entries if e["key"] == key] for key in COMMIT_KEYS}
        if values["header"][0].get("parentCommit") not in (None, self.hub.head(repo)):
            return self.refuse(412, "A commit has happened since.")
        files = {file["path"]: base64.b64decode(file["content"]) for file in values["file"]}
        oid = self.hub.add(repo, files, {file["path"] for file in values["deletedFile"]})
        self.send(200, {"commitUrl": f"{self.hub.url}/{repo}/commit/{oid}", "commitOid": oid})

    def tag(self, repo: str, revision: str):
        name = json.loads(self.body)["tag"]
        if (repo, name) in self.hub.tags:
            return self.refuse(409, "Tag already exists")
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
            etag = f'"{hashlib.sha256(files[name]).hexdigest()}"'
            self.send(200, files[name], X_Repo_Commit=commit, ETag=etag)


COMMIT_KEYS = ("header", "file", "deletedFile")
REPO = r"/(?:api/(?:models|spaces)/|spaces/)?(?P<repo>[\w.-]+/[\w.-]+?)"
AT = r"/(?P<revision>[^/]+)"
ROUTES = [
    ("GET", "/api/whoami-v2", RequestHandler.whoami),
    ("POST", "/api/repos/create", RequestHandler.create),
    ("POST", "/api/validate-yaml", lambda hub: hub.send(200, {"errors": [], "warnings": []})),
    ("GET", REPO + "/auth-check(?P<write>/write)?", RequestHandler.auth_check),
    ("GET", REPO + "/tree" + AT, RequestHandler.tree),
    ("POST", REPO + "/preupload" + AT, RequestHandler.preupload),
    ("POST", REPO + "/tag" + AT, RequestHandler.tag),
    ("POST", r"/api/jobs/(?P<owner>[\w-]+)", RequestHandler.order_job),
    ("POST", REPO + "/commit" + AT, RequestHandler.commit),
    ("GET HEAD", REPO + "/resolve" + AT + "/(?P<name>.+)", RequestHandler.resolve),
    ("GET", REPO + f"(?:/revision{AT})?", RequestHandler.info),
]


def disconnect(request) -> bool:
    """Close the connection without an answer."""
    request.connection.shutdown(socket.SHUT_RDWR)
    request.close_connection = True
    return True


def status(code, **headers):
    """Return the fault that answers with an HTTP status."""
    return lambda request: request.refuse(code, **headers) is None


def stall(request) -> bool:
    """Answer nothing for longer than a client waits."""
    threading.Event().wait(30)
    return True
