import json
import tempfile
import threading
import unittest
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import serve

SONGS = {"songs": [{"id": "a"}]}


class TheServer(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        site = serve.server(self.root, 0)
        self.address = f"http://127.0.0.1:{site.server_port}"
        thread = threading.Thread(target=site.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(site.server_close)
        self.addCleanup(site.shutdown)

    def release(
        self, name: str, *, needs: tuple[str, ...] = ("index.html",), catalogue: str = json.dumps(SONGS)
    ) -> None:
        folder = self.root / "releases" / name
        folder.mkdir(parents=True)
        (folder / "index.html").write_text(name)
        (folder / "catalogue.json").write_text(catalogue)
        (folder / "health.json").write_text(json.dumps({"version": name, "commit": name, "needs": needs}))
        link = self.root / "next"
        link.symlink_to(folder)
        link.replace(self.root / "current")

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urlopen(self.address + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def test_serves_the_release_that_current_points_to(self) -> None:
        self.release("one")
        self.assertEqual(self.get("/"), (200, "one"))
        self.release("two")
        self.assertEqual(self.get("/"), (200, "two"))
        self.assertEqual(self.get("/nowhere")[0], 404)

    def test_serves_nothing_from_outside_the_release(self) -> None:
        self.release("one")
        (self.root / "secret").write_text("secret")
        for path in ("/../../secret", "/%2e%2e/%2e%2e/secret", "//etc/passwd", "/%00"):
            self.assertEqual(self.get(path)[0], 404, path)

    def test_is_healthy_when_everything_needed_is_there(self) -> None:
        self.release("one")
        status, body = self.get("/health")
        self.assertEqual(status, 200)
        self.assertEqual(json.loads(body)["status"], "ok")
        self.assertEqual(json.loads(body)["version"], "one")

    def test_is_ill_and_says_why_otherwise(self) -> None:
        self.assertEqual(self.get("/health")[0], 503)
        self.release("missing", needs=("index.html", "art/gone.svg"))
        self.assertEqual(self.get("/health")[0], 503)
        self.assertIn("art/gone.svg", self.get("/health")[1])
        self.release("broken", catalogue="{")
        self.assertEqual(self.get("/health")[0], 503)
        self.release("empty", catalogue='{"songs": []}')
        self.assertIn("the catalogue is empty", self.get("/health")[1])
