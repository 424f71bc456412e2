import copy
import unittest
from pathlib import Path

from src import catalogue
from src.covers import draw

HOME = Path(__file__).resolve().parent.parent


class TheCatalogue(unittest.TestCase):
    def setUp(self) -> None:
        self.loaded = catalogue.load(HOME / "catalogue")

    def spoilt(self, **fields: object) -> catalogue.Catalogue:
        songs = copy.deepcopy(list(self.loaded.songs))
        songs[0].update(fields)
        return catalogue.Catalogue(songs, self.loaded.covers)

    def test_holds_a_dozen_songs_or_more(self) -> None:
        self.assertGreaterEqual(len(self.loaded.songs), 12)

    def test_uses_every_cover(self) -> None:
        self.assertEqual({song["cover"] for song in self.loaded.songs}, set(self.loaded.covers))

    def test_refuses_a_song_that_lacks_something_and_says_what(self) -> None:
        for fields, reason in (
            ({"title": ""}, "title is missing"),
            ({"cover": "none"}, "there is no cover none"),
            ({"mood": "Grumpy"}, "the mood is one of"),
            ({"year": "2021"}, "the year is a number"),
            ({"length": 0}, "the length is a number of seconds"),
            ({"story": []}, "the story is a list of paragraphs"),
            ({"credits": [{"role": "Voice"}]}, "each credit has a role and names"),
        ):
            with self.subTest(reason), self.assertRaisesRegex(catalogue.CatalogueError, reason):
                catalogue.check(self.spoilt(**fields))

    def test_refuses_the_same_id_twice(self) -> None:
        with self.assertRaisesRegex(catalogue.CatalogueError, "used twice"):
            catalogue.check(self.spoilt(id=self.loaded.songs[1]["id"]))

    def test_draws_the_same_cover_each_time(self) -> None:
        for name, cover in self.loaded.covers.items():
            self.assertEqual(draw(name, cover), draw(name, cover))
