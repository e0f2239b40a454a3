"""Runs an AWS endpoint for as long as somebody holds this program's standard input open.

usage: serve.py LOG_FILE ministack
       serve.py LOG_FILE moto
       serve.py LOG_FILE PROGRAM ARGUMENT...   (one that prints `listening on URL`)

Prints the endpoint's URL on one line once the server answers. The server ends when the standard
input is closed, which happens however the test that started it comes to its end. ministack is
given the stand-in Docker engine, without which it rolls nothing out.
"""

import contextlib
import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

import docker_engine

ACCOUNT = "123456789012"
ATTEMPTS = 3
ANSWERS_WITHIN = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def program(name):
    """A program of this virtual environment."""
    return os.path.join(os.path.dirname(sys.executable), name)


def moto(port, _folder):
    """moto's command line, its settings, and a path that answers once it is up."""
    return [program("moto_server"), "-H", "127.0.0.1", "-p", str(port)], {}, "/moto-api/"


def ministack(port, folder):
    """ministack's command line, its settings, and a path that answers once it is up."""
    engine_socket = os.path.join(folder, "docker.sock")
    if not os.path.exists(engine_socket):
        engine = docker_engine.serve(engine_socket, docker_engine.Engine())
        threading.Thread(target=engine.serve_forever, daemon=True).start()
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "DOCKER_HOST": f"unix://{engine_socket}",
        # The account that the examples' ARNs and repositories name.
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "TMPDIR": folder,
    }
    return [program("ministack")], settings, "/_ministack/health"


def answers(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False


def started(command, settings, log):
    return subprocess.Popen(
        command,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def on_a_free_port(make, folder, log):
    """Starts a server that must be told its port. A port that was free a moment ago may be taken
    by now, so a server that ends at once is started again on another."""
    for _ in range(ATTEMPTS):
        port = free_port()
        command, settings, health = make(port, folder)
        server = started(command, settings, log)
        until = time.monotonic() + ANSWERS_WITHIN
        while server.poll() is None and time.monotonic() < until:
            if answers(port, health):
                return server, f"http://127.0.0.1:{port}"
            time.sleep(0.1)
        if server.poll() is None:
            end(server)
            sys.exit(f"{command[0]} did not answer within {ANSWERS_WITHIN} s: see {log.name}")
    sys.exit(f"{command[0]} ended at once, {ATTEMPTS} times: see {log.name}")


def on_its_own_port(command, log):
    """Starts a server that finds a port for itself and tells it on its output."""
    server = started(command, {}, log)
    until = time.monotonic() + ANSWERS_WITHIN
    while server.poll() is None and time.monotonic() < until:
        with open(log.name, encoding="utf-8") as written:
            told = re.search(r"listening on (http://\S+)", written.read())
        if told:
            return server, told[1]
        time.sleep(0.05)
    end(server)
    sys.exit(f"{' '.join(command)} did not say where it listens: see {log.name}")


def end(server):
    server.terminate()
    try:
        server.wait(timeout=5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    log_file, *command = sys.argv[1:]
    known = {"ministack": ministack, "moto": moto}
    with tempfile.TemporaryDirectory(prefix="evenkeel-") as folder, open(log_file, "w") as log:
        if command[0] in known:
            server, endpoint = on_a_free_port(known[command[0]], folder, log)
        else:
            server, endpoint = on_its_own_port(command, log)
        try:
            print(endpoint, flush=True)
            sys.stdin.read()
        finally:
            end(server)


if __name__ == "__main__":
    main()
