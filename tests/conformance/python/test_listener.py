"""Tests of the server that hooks reach: `python -m unittest` in this folder runs them."""

import http.client
import json
import threading
import unittest
from unittest import mock

import listener

# Made with `printf '1700000000.{}' | openssl dgst -sha256 -hmac key`.
DIGEST = "9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
NOW = 1_700_000_060


class Signatures(unittest.TestCase):
    """Which signatures are taken."""

    def is_signed(self, header, key="key", body=b"{}", now=NOW):
        return listener.is_signed(key, header, body, now)

    def test_one_of_the_moment_and_the_body_is_taken(self):
        self.assertTrue(self.is_signed(f"t=1700000000,v1={DIGEST}"))

    def test_any_other_is_not(self):
        right = f"t=1700000000,v1={DIGEST}"
        self.assertFalse(self.is_signed(right, key="another"))
        self.assertFalse(self.is_signed(right, body=b"{ }"))
        self.assertFalse(self.is_signed(right, now=NOW + 3600))
        self.assertFalse(self.is_signed(f"t=1700000001,v1={DIGEST}"))
        self.assertFalse(self.is_signed(f"t=,v1={DIGEST}"))
        self.assertFalse(self.is_signed(f"v1={DIGEST}"))
        self.assertFalse(self.is_signed("t=1700000000"))
        self.assertFalse(self.is_signed(""))


class Answers(unittest.TestCase):
    """What is answered, and written down."""

    def serve(self, answers, before=None):
        server = listener.Listener(answers, before=before)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def post(self, server, body):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        self.addCleanup(connection.close)
        connection.request("POST", "/releases", body, {"Idempotency-Key": "k"})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def test_each_answer_is_given_once_and_the_last_one_for_ever(self):
        server = self.serve(["503", "200"])
        with mock.patch("builtins.print") as printed:
            statuses = [self.post(server, b"{}")[0] for _ in range(3)]
        self.assertEqual(statuses, [503, 200, 200])
        told = json.loads(printed.call_args_list[0].args[0])
        self.assertEqual((told["method"], told["path"], told["body"]), ("POST", "/releases", "{}"))
        self.assertEqual(told["headers"]["idempotency-key"], "k")

    def test_what_the_server_behind_it_answers_is_given_back(self):
        behind = self.serve(["418"])
        server = self.serve(["pass"], before=f"http://127.0.0.1:{behind.server_port}")
        with mock.patch("builtins.print") as printed:
            self.assertEqual(self.post(server, b"hello")[0], 418)
        bodies = [json.loads(call.args[0])["body"] for call in printed.call_args_list]
        self.assertEqual(bodies, ["hello", "hello"])


if __name__ == "__main__":
    unittest.main()
