"""Tests of the stand-in Docker engine: its rules, and what docker's own client makes of it."""

import os
import tempfile
import threading
import unittest

import docker
import docker.errors

import docker_engine
from docker_engine import Engine, EngineError, Outcome, outcome_of


class Clock:
    """A clock that moves only when it is told to, and tells that somebody looked at it."""

    def __init__(self):
        self.now = 100.0
        self.seen = threading.Event()

    def __call__(self):
        self.seen.set()
        return self.now


class OutcomeTest(unittest.TestCase):
    def test_an_exit_command_ends_with_its_code_whatever_the_image(self):
        self.assertEqual(outcome_of("shop/crash:1", ["sh", "-c", "exit 3"]), Outcome(1.5, 3))

    def test_a_rails_task_ends_well_even_where_the_server_would_crash(self):
        command = ["bundle", "exec", "rails", "db:create", "db:migrate"]
        self.assertEqual(outcome_of("shop/crash:1", command), Outcome(1.5, 0))

    def test_a_crashing_image_ends_with_1(self):
        self.assertEqual(outcome_of("shop/crash@sha256:00", ["puma"]), Outcome(0.05, 1))

    def test_anything_else_runs_on(self):
        for command in (None, [], ["bundle", "exec", "puma", "-C", "config/puma.rb"], ["exitt 3"]):
            self.assertIsNone(outcome_of("shop/app:1", command).runs_for)


class EngineTest(unittest.TestCase):
    def setUp(self):
        self.clock = Clock()
        self.engine = Engine(self.clock)

    def made(self, image, command=None, **more):
        identifier = self.engine.create("", None, {"Image": image, "Cmd": command, **more})
        self.engine.start(identifier)
        return identifier

    def state(self, identifier):
        state = self.engine.inspect(identifier)["State"]
        return state["Status"], state["ExitCode"]

    def test_a_container_is_created_then_runs_then_ends(self):
        identifier = self.engine.create("", None, {"Image": "app", "Cmd": ["exit 7"]})
        self.assertEqual(self.state(identifier), ("created", 0))
        self.engine.start(identifier)
        self.assertEqual(self.state(identifier), ("running", 0))
        self.clock.now += 1.5
        self.assertEqual(self.state(identifier), ("exited", 7))
        self.assertEqual(self.engine.wait(identifier), 7)

    def test_stopping_kills_what_runs_and_leaves_what_ended(self):
        server, ended = self.made("app"), self.made("app", ["exit 0"])
        self.clock.now += 2
        for identifier in (server, ended):
            self.engine.stop(identifier)
        self.clock.now += 60
        self.assertEqual(self.state(server), ("exited", 137))
        self.assertEqual(self.state(ended), ("exited", 0))

    def test_a_container_stopped_before_its_end_does_not_reach_it(self):
        identifier = self.made("app", ["exit 0"])
        self.clock.now += 1
        self.engine.stop(identifier)
        self.clock.now += 60
        self.assertEqual(self.state(identifier), ("exited", 137))

    def test_a_running_container_is_removed_only_by_force(self):
        identifier = self.made("app")
        with self.assertRaises(EngineError) as refused:
            self.engine.remove(identifier, force=False)
        self.assertEqual(refused.exception.status, 409)
        self.engine.remove(identifier, force=True)
        with self.assertRaises(EngineError) as gone:
            self.engine.inspect(identifier)
        self.assertEqual(gone.exception.status, 404)

    def test_waiting_ends_when_the_container_is_removed(self):
        identifier = self.made("app")
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(self.engine.wait(identifier)))
        self.clock.seen.clear()
        waiting.start()
        self.assertTrue(self.clock.seen.wait(timeout=60), "it waits for the container")
        self.engine.remove(identifier, force=True)
        waiting.join(timeout=60)
        self.assertEqual(answers, [137])

    def test_an_image_that_does_not_exist_is_refused_everywhere(self):
        for ask in (
            lambda: self.engine.image("shop/doesnotexist:1"),
            lambda: self.engine.distribution("shop/doesnotexist:1"),
            lambda: self.engine.create("", None, {"Image": "shop/doesnotexist:1"}),
        ):
            with self.assertRaises(EngineError) as refused:
                ask()
            self.assertEqual(refused.exception.status, 404)

    def test_lists_by_state_and_label(self):
        ecs = self.made("app", Labels={"owner": "ecs"})
        self.made("app", Labels={"owner": "other"})
        ended = self.made("app", ["exit 0"], Labels={"owner": "ecs"})
        self.clock.now += 2

        def listed(every, labels):
            return [container["Id"] for container in self.engine.list(every, labels)]

        self.assertEqual(listed(False, ["owner=ecs"]), [ecs])
        self.assertEqual(listed(True, ["owner=ecs"]), [ecs, ended])
        self.assertEqual(len(listed(True, ["owner"])), 3)
        self.assertEqual(listed(True, ["missing"]), [])

    def test_a_pinned_image_keeps_its_digest(self):
        pinned = "registry:5000/shop/app@sha256:" + "a" * 64
        self.assertEqual(self.engine.image(pinned)["RepoDigests"], [pinned])
        self.assertEqual(docker_engine.repository(pinned), "registry:5000/shop/app")
        self.assertEqual(docker_engine.repository("registry:5000/shop/app:1"), "registry:5000/shop/app")


class DockerClientTest(unittest.TestCase):
    """docker's own Python client against the engine's socket, as ministack uses it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        socket_path = os.path.join(folder.name, "engine.sock")
        server = docker_engine.serve(socket_path, Engine())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.client = docker.DockerClient(base_url=f"unix://{socket_path}", timeout=10)
        self.addCleanup(self.client.close)

    def test_runs_watches_and_removes_a_container(self):
        container = self.client.containers.run(
            "shop/app:1",
            command=["sh", "-c", "exit 3"],
            detach=True,
            name="one-off",
            environment={"A": "1"},
            labels={"owner": "ecs"},
            platform="linux/arm64",
        )
        self.assertEqual(container.status, "created")
        self.assertEqual(container.wait(), {"StatusCode": 3})
        container.reload()
        self.assertEqual(container.status, "exited")
        self.assertEqual(container.logs(), b"")
        container.stop(timeout=1)
        container.remove(v=True)
        with self.assertRaises(docker.errors.NotFound):
            self.client.containers.get("one-off")

    def test_pulls_tags_and_looks_up_images(self):
        image = self.client.images.pull("shop/app", tag="1")
        self.assertEqual(image.tags, ["shop/app:1"])
        self.assertTrue(image.tag("shop/app", tag="2"))
        known = self.client.images.get_registry_data("shop/app:1")
        self.assertTrue(known.id.startswith("sha256:"))

    def test_tells_a_missing_image(self):
        with self.assertRaises(docker.errors.NotFound):
            self.client.images.pull("shop/doesnotexist", tag="1")
        with self.assertRaises(docker.errors.ImageNotFound):
            self.client.images.get("shop/doesnotexist:1")

    def test_lists_with_filters(self):
        self.client.containers.run("shop/app:1", detach=True, labels={"owner": "ecs"})
        listed = self.client.containers.list(all=True, sparse=True, filters={"label": "owner=ecs"})
        self.assertEqual(len(listed), 1)

    def test_says_which_request_it_lacks(self):
        with self.assertRaisesRegex(docker.errors.APIError, "has no GET /volumes"):
            self.client.volumes.list()


if __name__ == "__main__":
    unittest.main()
