"""The cards below the player. Each is a module whose `body` makes the card's inside for one song."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from src.cards import more
from src.catalogue import Song, Songs
from src.text import text


@dataclass(frozen=True)
class Card:
    name: str
    label: str
    """What the card is called, on the screen and by screen readers."""
    body: Callable[[Song, Songs], str]
    """The card's inside as HTML; empty where the song has nothing to show."""


# In the order in which they stand below the player.
CARDS: Sequence[Card] = [
    Card("more", "More from this artist", more.body),
]


def render(song: Song, songs: Songs) -> str:
    """All cards of one song."""
    return "\n".join(filter(None, (section(card, song, songs) for card in CARDS)))


def section(card: Card, song: Song, songs: Songs) -> str:
    """One card of one song, or nothing where it has nothing to show."""
    body = card.body(song, songs)
    if not body:
        return ""
    heading = f"{card.name}-{text(song['id'])}"
    return (
        f'<section class="card card-{card.name}" aria-labelledby="{heading}">\n'
        f'<h2 id="{heading}">{text(card.label)}</h2>\n{body}\n</section>'
    )
