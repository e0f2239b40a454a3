"""A stand-in for the Docker Engine that runs nothing.

It answers, on a Unix socket, the part of the Engine API that ministack's ECS needs to place
tasks: pull and look up an image, create, start, stop, watch and remove a container. No process is
started and no registry is asked. What becomes of a container is read from what it is asked to run:

| image or command                                        | what happens                          |
|---------------------------------------------------------|---------------------------------------|
| the image's name holds `doesnotexist`                   | it cannot be pulled                   |
| the command says `exit N`                               | it ends with code N after a moment    |
| the command runs a Rails or Rake task, as `db:migrate`  | it ends with code 0 after a moment    |
| the image's name holds `crash`                          | it ends with code 1, almost at once   |
| anything else                                           | it runs until it is stopped           |

The first line that fits counts. Run it as `python docker_engine.py SOCKET` and point
`DOCKER_HOST=unix://SOCKET` at it.
"""

import hashlib
import http.server
import json
import os
import re
import socketserver
import sys
import threading
import time
import urllib.parse
from dataclasses import dataclass, field

API_VERSION = "1.44"
# Long before a second has passed: a task that ministack's watcher, which may be late, still takes to
# be running by then counts as steady.
CRASH_AFTER = 0.05
ONE_OFF_AFTER = 1.5
KILLED = 137

EXIT_COMMAND = re.compile(r"\bexit (\d+)\b")
RAILS_TASK = re.compile(r"^[a-z_]+(:[a-z_]+)+$")


class EngineError(Exception):
    """A refusal, with the HTTP status that the Engine gives it."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Outcome:
    """How long a container runs, in seconds (None: until it is stopped), and how it ends."""

    runs_for: float | None = None
    exit_code: int = 0


def outcome_of(image, command):
    """What becomes of a container of this image that runs this command."""
    words = command or []
    asked = EXIT_COMMAND.search(" ".join(words))
    if asked:
        return Outcome(ONE_OFF_AFTER, int(asked.group(1)))
    if any(RAILS_TASK.match(word) for word in words):
        return Outcome(ONE_OFF_AFTER, 0)
    if "crash" in image:
        return Outcome(CRASH_AFTER, 1)
    return Outcome()


def digest(text):
    """A stable sha256 digest for a name, as the Engine writes it."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def repository(image):
    """The image's name without its tag and digest."""
    name = image.split("@", 1)[0]
    head, slash, tail = name.rpartition("/")
    return head + slash + tail.split(":", 1)[0]


@dataclass
class Container:
    """One container: what it was made from, and when it started and was stopped."""

    id: str
    name: str
    image: str
    command: list
    labels: dict
    environment: list
    platform: str | None = None
    started: float | None = None
    stopped: float | None = None
    gone: threading.Event = field(default_factory=threading.Event)

    def state(self, now):
        """(status, exit code) at a moment, as `docker inspect` tells them."""
        if self.started is None:
            return "created", 0
        outcome = outcome_of(self.image, self.command)
        ended_itself = (
            outcome.runs_for is not None
            and (self.stopped or now) - self.started >= outcome.runs_for
        )
        if ended_itself:
            return "exited", outcome.exit_code
        if self.stopped is not None:
            return "exited", KILLED
        return "running", 0


class Engine:
    """The images and containers. Every method may be called from any thread."""

    def __init__(self, clock=time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()
        self._containers = {}
        self._made = 0

    def image(self, name):
        """An image's description. Every name is taken to be on this host or in its registry,
        save those that hold `doesnotexist`."""
        self._must_exist(name)
        return {
            "Id": digest(name),
            "RepoTags": [] if "@" in name else [name],
            "RepoDigests": [f"{repository(name)}@{self._manifest_digest(name)}"],
            "Config": {},
        }

    def distribution(self, name):
        """What the registry says of an image's manifest."""
        self._must_exist(name)
        return {
            "Descriptor": {
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "digest": self._manifest_digest(name),
                "size": 1469,
            },
            "Platforms": [
                {"architecture": architecture, "os": "linux"} for architecture in ("amd64", "arm64")
            ],
        }

    def create(self, name, platform, body):
        """Makes a container, not started yet, and answers its id."""
        image = body["Image"]
        self._must_exist(image)
        with self._lock:
            if name and any(other.name == name for other in self._containers.values()):
                raise EngineError(409, f"The container name /{name} is already in use")
            self._made += 1
            identifier = hashlib.sha256(f"{self._made}/{name}".encode()).hexdigest()
            self._containers[identifier] = Container(
                id=identifier,
                name=name or identifier[:12],
                image=image,
                command=body.get("Cmd") or [],
                labels=body.get("Labels") or {},
                environment=body.get("Env") or [],
                platform=platform,
            )
        return identifier

    def start(self, reference):
        container = self._find(reference)
        if container.started is None:
            container.started = self._clock()

    def stop(self, reference):
        container = self._find(reference)
        if container.state(self._clock())[0] == "running":
            container.stopped = self._clock()

    def remove(self, reference, force):
        container = self._find(reference)
        if container.state(self._clock())[0] == "running" and not force:
            raise EngineError(409, f"container {container.id} is running: stop it first")
        with self._lock:
            self._containers.pop(container.id, None)
        container.gone.set()

    def wait(self, reference):
        """The exit code of a container, once it has ended or was removed."""
        container = self._find(reference)
        while True:
            status, code = container.state(self._clock())
            if status != "running":
                return code
            if container.gone.wait(0.05):
                return KILLED

    def inspect(self, reference):
        container = self._find(reference)
        status, code = container.state(self._clock())
        address = "172.17.0.2"
        return {
            "Id": container.id,
            "Name": "/" + container.name,
            "Image": digest(container.image),
            "Platform": container.platform or "linux",
            "Config": {
                "Image": container.image,
                "Cmd": container.command,
                "Env": container.environment,
                "Labels": container.labels,
                "Tty": False,
            },
            "HostConfig": {"LogConfig": {"Type": "json-file"}},
            "State": {
                "Status": status,
                "Running": status == "running",
                "ExitCode": code,
            },
            "NetworkSettings": {
                "IPAddress": address,
                "Ports": {},
                "Networks": {"bridge": {"IPAddress": address}},
            },
            "Mounts": [],
        }

    def list(self, every, labels):
        """The running containers, or every one, that carry all the labels (`key` or `key=value`)."""
        with self._lock:
            containers = list(self._containers.values())
        now = self._clock()
        listed = []
        for container in containers:
            status, _ = container.state(now)
            if (every or status == "running") and carries(container.labels, labels):
                listed.append(
                    {
                        "Id": container.id,
                        "Names": ["/" + container.name],
                        "Image": container.image,
                        "Labels": container.labels,
                        "State": status,
                        "Status": status,
                    }
                )
        return listed

    def _find(self, reference):
        with self._lock:
            found = self._containers.get(reference) or next(
                (
                    container
                    for container in self._containers.values()
                    if container.name == reference
                    or (len(reference) >= 12 and container.id.startswith(reference))
                ),
                None,
            )
        if found is None:
            raise EngineError(404, f"No such container: {reference}")
        return found

    @staticmethod
    def _manifest_digest(image):
        return image.split("@", 1)[1] if "@" in image else digest("manifest of " + image)

    @staticmethod
    def _must_exist(image):
        if "doesnotexist" in image:
            raise EngineError(
                404, f"pull access denied for {image}, repository does not exist"
            )


def carries(labels, wanted):
    """Whether the labels hold all those wanted, each `key` or `key=value`."""
    for label in wanted:
        key, equals, value = label.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


class Handler(http.server.BaseHTTPRequestHandler):
    """Takes an Engine API request apart, asks the engine, and writes its answer as JSON."""

    protocol_version = "HTTP/1.1"

    def _ping(self, _match, _query, _body):
        return 200, b"OK"

    def _version(self, _match, _query, _body):
        return 200, {
            "Version": "27.0.0",
            "ApiVersion": API_VERSION,
            "MinAPIVersion": "1.24",
            "Os": "linux",
            "Arch": "amd64",
        }

    def _info(self, _match, _query, _body):
        return 200, {"ServerVersion": "27.0.0", "OSType": "linux", "Architecture": "x86_64"}

    def _pull(self, _match, query, _body):
        name, tag = query.get("fromImage", ""), query.get("tag", "")
        separator = "@" if tag.startswith("sha256:") else ":"
        self.engine.image(f"{name}{separator}{tag}" if tag else name)
        return 200, b'{"status": "Downloaded"}\n'

    def _image(self, match, _query, _body):
        return 200, self.engine.image(match[1])

    def _distribution(self, match, _query, _body):
        return 200, self.engine.distribution(match[1])

    def _tag(self, _match, _query, _body):
        return 201, None

    def _create(self, _match, query, body):
        identifier = self.engine.create(query.get("name", ""), query.get("platform"), body)
        return 201, {"Id": identifier, "Warnings": []}

    def _list(self, _match, query, _body):
        filters = json.loads(query.get("filters") or "{}")
        every = query.get("all", "0").lower() in ("1", "true")
        return 200, self.engine.list(every, filters.get("label", []))

    def _inspect(self, match, _query, _body):
        return 200, self.engine.inspect(match[1])

    def _start(self, match, _query, _body):
        self.engine.start(match[1])
        return 204, None

    def _stop(self, match, _query, _body):
        self.engine.stop(match[1])
        return 204, None

    def _wait(self, match, _query, _body):
        return 200, {"StatusCode": self.engine.wait(match[1])}

    def _logs(self, match, _query, _body):
        self.engine.inspect(match[1])
        return 200, b""

    def _remove(self, match, query, _body):
        self.engine.remove(match[1], query.get("force", "0").lower() in ("1", "true"))
        return 204, None

    ROUTES = [
        ("GET", r"/_ping", _ping),
        ("HEAD", r"/_ping", _ping),
        ("GET", r"/version", _version),
        ("GET", r"/info", _info),
        ("POST", r"/images/create", _pull),
        ("GET", r"/images/(.+)/json", _image),
        ("POST", r"/images/(.+)/tag", _tag),
        ("GET", r"/distribution/(.+)/json", _distribution),
        ("POST", r"/containers/create", _create),
        ("GET", r"/containers/json", _list),
        ("GET", r"/containers/([^/]+)/json", _inspect),
        ("POST", r"/containers/([^/]+)/start", _start),
        ("POST", r"/containers/([^/]+)/(?:stop|kill)", _stop),
        ("POST", r"/containers/([^/]+)/wait", _wait),
        ("GET", r"/containers/([^/]+)/logs", _logs),
        ("DELETE", r"/containers/([^/]+)", _remove),
    ]

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        path = re.sub(r"^/v[0-9.]+", "", urllib.parse.unquote(url.path))
        query = dict(urllib.parse.parse_qsl(url.query))
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, content = self._route(path, query, json.loads(raw) if raw else {})
        except EngineError as refusal:
            status, content = refusal.status, {"message": str(refusal)}
        except (ValueError, KeyError) as error:
            status, content = 400, {"message": f"cannot be read: {error!r}"}
        self._write(status, content)

    def _route(self, path, query, body):
        for method, pattern, handle in self.ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == self.command:
                return handle(self, match, query, body)
        raise EngineError(501, f"the stand-in engine has no {self.command} {path}")

    def _write(self, status, content):
        body = content if isinstance(content, bytes) else b""
        if content is not None and not isinstance(content, bytes):
            body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Api-Version", API_VERSION)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_DELETE = answer

    def address_string(self):
        return "unix"

    def log_message(self, *_arguments):
        """Says nothing: a refusal is in its answer."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """A client that goes away in the middle is nothing to tell; everything else is."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def serve(socket_path, engine):
    """A server for the engine on the socket, bound and ready for `serve_forever`."""
    handler = type("BoundHandler", (Handler,), {"engine": engine})
    return Server(socket_path, handler)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: docker_engine.py SOCKET")
    if os.path.exists(sys.argv[1]):
        os.unlink(sys.argv[1])
    serve(sys.argv[1], Engine()).serve_forever()
