"""Reading a page the way a browser does."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"br", "hr", "img", "input", "link", "meta"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, tag: str = "", **attributes: str) -> list["Element"]:
        """Every element below this one with that tag and those attributes, in order."""
        found = []
        for child in self.children:
            if isinstance(child, str):
                continue
            same = all(child.attributes.get(name) == value for name, value in attributes.items())
            if same and tag in ("", child.tag):
                found.append(child)
            found += child.all(tag, **attributes)
        return found


def parse(page: str) -> Element:
    root = Element("", {})
    path = [root]

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            element = Element(tag, {name: value or "" for name, value in attrs})
            path[-1].children.append(element)
            if tag not in VOID:
                path.append(element)

        def handle_endtag(self, tag: str) -> None:
            if tag not in [element.tag for element in path]:
                raise AssertionError(f"</{tag}> closes nothing")
            while path.pop().tag != tag:
                pass

        def handle_data(self, data: str) -> None:
            path[-1].children.append(data)

    Reader().feed(page)
    return root
