"""Stands in for a package's build backend while pip asks an archive for its metadata: the archive has it already.

So nothing of a package is run or compiled when its source archive is fetched (PEP 517, PEP 643).
"""

from __future__ import annotations

import re
from pathlib import Path


def get_requires_for_build_wheel(_: object = None) -> list[str]:
    """Nothing is built."""
    return []


def prepare_metadata_for_build_wheel(directory: str, _: object = None) -> str:
    """Put the archive's own `PKG-INFO` where pip looks for it."""
    text = Path("PKG-INFO").read_text()
    name, version = (re.search(rf"(?m)^{field}: (.*)$", text) for field in ("Name", "Version"))
    if name is None or version is None:
        raise ValueError("PKG-INFO names no package")
    folder = Path(directory, f"{name[1].replace('-', '_')}-{version[1]}.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text(text)
    return folder.name
