"""A server for hooks to reach: writes down what comes, and answers as it is told.

usage: listener.py [--key KEY] [--before URL] ANSWER...

An ANSWER is an HTTP status, `hold` (nothing is answered for as long as this program runs) or, with
--before, `pass`. Each is for one request, and the last one for all that come later.

--key     what posts are signed with: whether they are signed so is written down as well
--before  hands each request on to this server first; `pass` then gives its answer back, and `hold`
          keeps it

Prints its URL on one line, and then every request as JSON on a line of its own, once the server
behind it has answered. It ends when the standard input is closed.
"""

import argparse
import hashlib
import hmac
import http.client
import http.server
import json
import sys
import threading
import time
from urllib.parse import urlsplit

# Older signatures may have been made for somebody else's ears.
TOLERANCE = 300
# What is said of one connection and not of the answer, and what is told anew.
OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


def is_signed(key, header, body, now):
    """Whether `t=SECONDS,v1=HEX` signs this body, and was made within the last minutes."""
    members = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    seconds = members.get("t", "")
    if not seconds.isdigit() or abs(now - int(seconds)) > TOLERANCE:
        return False
    wanted = hmac.new(key.encode(), seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, members.get("v1", ""))


class Listener(http.server.ThreadingHTTPServer):
    """What was asked for on the command line, and how far it is."""

    daemon_threads = True

    def __init__(self, answers, key=None, before=None):
        super().__init__(("127.0.0.1", 0), Request)
        self.answers = list(answers)
        self.key = key
        self.before = urlsplit(before) if before else None
        self.lock = threading.Lock()

    def next_answer(self):
        with self.lock:
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def hand_on(self, request, body):
        """The answer of the server behind this one: status, headers and body."""
        connection = http.client.HTTPConnection(self.before.hostname, self.before.port)
        try:
            connection.request(request.command, request.path, body, dict(request.headers))
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def write_down(self, request, body):
        headers = {name.lower(): value for name, value in request.headers.items()}
        told = {
            "at": time.time(),
            "method": request.command,
            "path": request.path,
            "headers": headers,
            "body": body.decode(),
        }
        if self.key:
            signature = headers.get("x-evenkeel-signature", "")
            told["signed"] = is_signed(self.key, signature, body, time.time())
        with self.lock:
            print(json.dumps(told), flush=True)


class Request(http.server.BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        answer = self.server.next_answer()
        given = self.server.hand_on(self, body) if self.server.before else None
        self.server.write_down(self, body)
        if answer == "hold":
            threading.Event().wait()
        status, headers, content = given or (int(answer), [], b"")
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in OF_THE_CONNECTION:
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_arguments):
        """What comes is written down already."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("answers", nargs="+")
    parser.add_argument("--key")
    parser.add_argument("--before")
    arguments = parser.parse_args()
    server = Listener(arguments.answers, arguments.key, arguments.before)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
