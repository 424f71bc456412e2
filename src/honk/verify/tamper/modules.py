"""Names of Python modules that checks import: their tools', and those that Python brings."""

from __future__ import annotations

import re
import sys

RUNNERS = {"_pytest", "pluggy", "pytest", "unittest"}
TOOLS = RUNNERS | {
    *("anyio", "black", "coverage", "django", "flake8", "hypothesis", "iniconfig", "mypy", "nox", "pylint", "pyright"),
    *("pytest_asyncio", "pytest_cov", "pytest_django", "pytest_mock", "pytest_randomly", "pytest_timeout", "ruff"),
    *("tox", "xdist"),
}
AT_START = {"sitecustomize", "usercustomize"}
"""Imported by Python itself, wherever they are found."""
_FROZEN = {"abc", "codecs", "genericpath", "io", "ntpath", "os", "posixpath", "runpy", "stat", "zipimport"}
"""Of these Python has a copy within itself, which it prefers."""
# A folder of the name `test` holds a project's own tests more often than it hides Python's.
PYTHONS_OWN = sys.stdlib_module_names - set(sys.builtin_module_names) - _FROZEN - {"test", "site"}
LOADED = frozenset(
    {
        *("argparse", "ast", "bz2", "collections", "contextlib", "copy", "copyreg", "dataclasses", "difflib", "dis"),
        *(
            "encodings",
            "enum",
            "fnmatch",
            "functools",
            "gettext",
            "heapq",
            "importlib",
            "inspect",
            "keyword",
            "linecache",
        ),
        *("locale", "lzma", "opcode", "operator", "pprint", "re", "reprlib", "shutil", "signal", "textwrap", "token"),
        *("tokenize", "traceback", "types", "warnings", "weakref", "zlib"),
    }
    | RUNNERS
)
"""What unittest and pytest have imported, and so is not looked for again, before they look for tests."""
LOADED_BY_PYTEST = LOADED | {
    *("array", "base64", "bdb", "bisect", "calendar", "csv", "datetime", "decimal", "email", "fcntl", "glob"),
    *("ipaddress", "json", "logging", "math", "numbers", "pathlib", "platform", "quopri", "random", "select"),
    *("selectors", "shlex", "socket", "string", "struct", "subprocess", "tempfile", "threading", "typing"),
    *("unicodedata", "urllib", "uuid", "zipfile"),
}
"""What pytest 7 and 8 have, without any plugin."""
_MODULE = re.compile(
    r"^(?P<folders>(?:[^/]+/)*?)(?P<name>\w+)(?:\.pyc?|(?:\.[\w-]+)?\.(?:so|pyd)|/__(?P<inner>init|main)__\.pyc?)$"
)


def known_module(path: str, mode: str | None = None) -> re.Match[str] | None:
    """A file as a module of one of these names: its `folders`, its `name`, and `inner` where it is of a package."""
    # What a link leads to may be a package.
    package = mode in {"120000", "160000"} and "." not in path.rpartition("/")[2]
    found = _MODULE.match(f"{path}/__init__.py" if package else path)
    return found if found and found["name"] in TOOLS | AT_START | PYTHONS_OWN | {"site"} else None
