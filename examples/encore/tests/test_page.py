import copy
import unittest
from pathlib import Path

import build
from src import cards, catalogue
from src.text import duration
from tests.pages import parse

HOME = Path(__file__).resolve().parent.parent
HOSTILE = "<b data-hostile>&\"'"


def hostile(value: object) -> object:
    """The value with markup in each of its texts."""
    if isinstance(value, dict):
        return {name: hostile(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner) for inner in value]
    return f"{value} {HOSTILE}" if isinstance(value, str) else value


class ThePage(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.catalogue = catalogue.load(HOME / "catalogue")
        cls.page = parse(build.render(cls.catalogue))

    def test_lists_every_song_with_its_length(self) -> None:
        for song in self.catalogue.songs:
            (row,) = self.page.all("li", **{"data-song": song["id"]})
            self.assertIn(song["title"], row.text)
            self.assertEqual([time.text for time in row.all("time")], [duration(song["length"])])

    def test_names_every_button(self) -> None:
        for button in self.page.all("button"):
            self.assertTrue(button.attributes.get("aria-label") or button.text.strip(), button)

    def test_gives_every_id_once(self) -> None:
        ids = [element.attributes["id"] for element in self.page.all() if "id" in element.attributes]
        self.assertEqual(len(ids), len(set(ids)))

    def test_labels_every_card_with_its_heading(self) -> None:
        found = [one for one in self.page.all("section") if "card" in one.attributes.get("class", "").split()]
        self.assertTrue(found)
        labels = {card.label for card in cards.CARDS}
        for section in found:
            (heading,) = section.all("h2", id=section.attributes["aria-labelledby"])
            self.assertIn(heading.text, labels)

    def test_shows_catalogue_text_as_text_in_every_card(self) -> None:
        kept = ("id", "cover")
        songs = [
            {name: value if name in kept else hostile(copy.deepcopy(value)) for name, value in song.items()}
            for song in self.catalogue.songs
        ]
        for card in cards.CARDS:
            for song in songs:
                made = [
                    element.tag
                    for element in parse(cards.section(card, song, songs)).all()
                    if "data-hostile" in element.attributes
                ]
                self.assertEqual(made, [], f"card {card.name!r} lets text of {song['id']!r} become markup")

    def test_shows_catalogue_text_as_text_everywhere_else(self) -> None:
        worse = f"</script>{HOSTILE}"
        songs = [{**song, "title": worse, "artist": worse, "album": worse} for song in self.catalogue.songs]
        page = parse(build.render(catalogue.Catalogue(songs, self.catalogue.covers)))
        self.assertEqual([element for element in page.all() if "data-hostile" in element.attributes], [])
        self.assertIn(worse, page.text)


class Durations(unittest.TestCase):
    def test_read_as_on_a_player(self) -> None:
        for seconds, expected in ((0, "0:00"), (59, "0:59"), (187, "3:07"), (600, "10:00"), (3725, "1:02:05")):
            self.assertEqual(duration(seconds), expected)
