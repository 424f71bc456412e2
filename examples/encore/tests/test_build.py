import json
import tempfile
import unittest
from pathlib import Path

import build


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class TheBuild(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.output = Path(folder.name) / "dist"

    def test_ships_the_page_its_assets_and_a_cover_for_each_song(self) -> None:
        build.build(self.output)
        shipped = contents(self.output)
        self.assertLessEqual({"index.html", "catalogue.json", "health.json", *build.ASSETS}, set(shipped))
        for song in json.loads(shipped["catalogue.json"])["songs"]:
            self.assertIn(f"art/{song['cover']}.svg", shipped)

    def test_gives_the_same_bytes_each_time(self) -> None:
        build.build(self.output)
        first = contents(self.output)
        (self.output / "left-over.txt").write_text("from before")
        build.build(self.output)
        self.assertEqual(contents(self.output), first)

    def test_says_which_commit_it_is_and_what_the_page_needs(self) -> None:
        build.build(self.output, commit="c0ffee" * 6 + "abcd")
        health = json.loads((self.output / "health.json").read_text())
        self.assertEqual(health["commit"], "c0ffee" * 6 + "abcd")
        self.assertEqual(health["version"], "c0ffeec0ffee")
        self.assertLessEqual({"index.html", "catalogue.json", "player.js", "styles.css"}, set(health["needs"]))

    def test_finds_what_a_page_loads(self) -> None:
        page = '<img src="a.svg"><a href="#top"></a><link href="b.css"><div data-src="c.txt"></div><img src="data:,">'
        self.assertEqual(build.needed(page), {"a.svg", "b.css", "c.txt"})
