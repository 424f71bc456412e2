"""Broken Python projects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.verify.corpus.case import Case


def library(count: int = 40) -> dict[str, str]:
    """A package with so many modules, each with a function that works."""
    files = {"shop/__init__.py": ""}
    for n in range(count):
        files[f"shop/part_{n:02}.py"] = (
            f'"""Part {n} of the shop."""\n\nimport logging\n\nlog = logging.getLogger(__name__)\n\n\n'
            f"def price_{n}(count: int, each: float = {n + 1}.5) -> float:\n"
            f'    """What count of these cost."""\n    log.warning("error-prone rounding in part {n}, not found to matter")\n'
            f"    return round(count * each, 2)\n"
        )
    return files


def passing(count: int = 40, each: int = 8) -> dict[str, str]:
    """Tests that pass and talk."""
    files = {}
    for n in range(count):
        body = "".join(
            f"def test_part_{n}_prices_{k}_of_them():\n    print('ERROR? no: computing', {k})\n    assert price_{n}({k}) == {k} * {n + 1}.5\n\n\n"
            for k in range(each)
        )
        files[f"tests/test_part_{n:02}.py"] = f"from shop.part_{n:02} import price_{n}\n\n\n{body}"
    return files


ORDERS = '''"""Orders and what they cost."""

from dataclasses import dataclass, field


@dataclass
class Line:
    article: str
    count: int
    price: float


@dataclass
class Order:
    customer: str
    lines: list[Line] = field(default_factory=list)
    discount: float = 0.0

    def total(self) -> float:
        net = sum(line.count * line.price for line in self.lines)
        return round(net * (1 + self.discount), 2)


def cheapest(orders: list[Order]) -> Order:
    return min(orders, key=lambda order: order.total())


def summary(order: Order) -> dict[str, object]:
    return {"customer": order.customer, "lines": {line.article: line.count for line in order.lines}, "total": order.total()}
'''
ORDER_TESTS = """import logging

import pytest

from shop.orders import Line, Order, cheapest, summary

log = logging.getLogger("shop")


@pytest.fixture
def order():
    for number in range(60):
        log.warning("connecting to price service failed, retrying, attempt %d", number)
        print("ERROR pool exhausted, recovered", number)
    return Order("Ada", [Line("tea", 2, 3.5), Line("cup", 1, 8.0)], discount=0.1)


def test_a_discount_lowers_the_total(order):
    assert order.total() == 13.5


def test_no_discount_keeps_it():
    assert Order("Bob", [Line("tea", 2, 3.5)]).total() == 7.0


def test_the_cheapest_of_none_is_refused():
    assert cheapest([]) is None
"""

QUIET = "-p no:cacheprovider"
PYTEST = f"python -m pytest {QUIET}"
MISSING_DISCOUNT = ("test_a_discount_lowers_the_total", "assert 16.5 == 13.5")


def big_dict() -> str:
    return (
        "from shop.catalog import catalog\n\n\ndef test_catalog_is_whole():\n    expected = {f'article-{n:03}': {'price': n * 1.5, 'stock': n % 7, "
        "'tags': ['new', 'blue']} for n in range(150)}\n    assert catalog() == expected\n"
    )


def unit(count: int, each: int = 10) -> dict[str, str]:
    files = {"tests/__init__.py": ""}
    for n in range(count):
        methods = "".join(
            f"    def test_price_of_{k}(self):\n        self.assertAlmostEqual(price_{n}({k}), {k} * {n + 1}.5)\n\n"
            for k in range(each)
        )
        files[f"tests/test_unit_{n:02}.py"] = (
            f"import unittest\n\nfrom shop.part_{n:02} import price_{n}\n\n\nclass Part{n}Test(unittest.TestCase):\n{methods}"
        )
    return files


ORDER_UNIT = """import unittest

from shop.orders import Line, Order, cheapest


class OrderTest(unittest.TestCase):
    def make(self, discount):
        return Order("Ada", [Line("tea", 2, 3.5), Line("cup", 1, 8.0)], discount=discount)

    def test_a_discount_lowers_the_total(self):
        self.assertEqual(self.make(0.1).total(), 13.5, "a discount must lower the total")

    def test_discounts(self):
        for discount in (0.0, 0.2, 0.5):
            with self.subTest(discount=discount):
                self.assertLessEqual(self.make(discount).total(), 15.0)

    def test_cheapest_of_none(self):
        cheapest([])
"""


def typed(count: int) -> dict[str, str]:
    """Modules with a mistake of type each, and one that only the notes explain."""
    files = {"app/__init__.py": "", "app/ports.py": (
        "from typing import Protocol\n\n\nclass Store(Protocol):\n    def save(self, key: str, value: bytes) -> int: ...\n\n\n"
        "class Memory:\n    def save(self, key: str, value: str) -> int:\n        return len(value)\n\n\n"
        "def use(store: Store) -> None:\n    store.save('a', b'b')\n\n\nuse(Memory())\n"
    )}  # fmt: skip
    for n in range(count):
        files[f"app/module_{n:02}.py"] = (
            f"from app.ports import Memory\n\n\ndef length_{n}(name: str) -> int:\n    return name.upper()\n\n\n"
            f"def keep_{n}(memory: Memory) -> str:\n    return memory.load('key {n}')\n"
        )
    return files


def untidy(count: int) -> dict[str, str]:
    files = {}
    for n in range(count):
        files[f"app/untidy_{n:02}.py"] = (
            f"import os, sys\nimport json\nfrom typing import List\n\n\ndef handler_{n}( request,args = [] ):\n    l = 1\n"
            f"    try:\n        value = json.loads(request)\n    except:\n        pass\n    if value == None :\n        return undefined_name_{n}\n"
            f"    exec(args)\n    return value\n"
        )
    return files


BROKEN_SYNTAX = "def broken(:\n    return 1\n"

NOISY_SCRIPT = """import logging
import sys
import time

from shop.orders import Line, Order, cheapest

logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="%(asctime)s %(levelname)s %(name)s %(message)s")
log = logging.getLogger("import")


def load(path):
    for number in range(400):
        log.debug("row %d of %s read", number, path)
        if number % 40 == 7:
            log.warning("row %d has no price, error tolerated", number)
    return [Order("Ada", [Line("tea", 2, 3.5)])]


def report(orders):
    best = cheapest([order for order in orders if order.total() > 100])
    return best.customer


def main():
    for percent in range(0, 101):
        sys.stderr.write("\\r\\x1b[32mprogress\\x1b[0m [" + "#" * (percent // 4) + " " * (25 - percent // 4) + f"] {percent}%")
    sys.stderr.write("\\n")
    print(report(load("orders.csv")))


main()
"""


def shop(*more: Mapping[str, str], orders: bool = True, tests: str = ORDER_TESTS) -> dict[str, str]:
    files = library()
    if orders:
        files |= {"shop/orders.py": ORDERS, "tests/test_orders.py": tests}
    for some in more:
        files |= some
    return files


CATALOG = {
    "shop/catalog.py": "def catalog():\n    return {f'article-{n:03}': {'price': n * 1.5, 'stock': (n + (n == 77)) % 7, 'tags': ['new', 'blue']} for n in range(150)}\n",
    "tests/test_catalog.py": big_dict(),
}
DJANGO = {
    "manage.py": "import os, sys\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site_settings')\nfrom django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n",
    "site_settings.py": "SECRET_KEY = 'x'\nINSTALLED_APPS = ['django.contrib.contenttypes', 'django.contrib.auth', 'polls']\nDATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}\nROOT_URLCONF = 'urls'\n",
    "urls.py": "from django.http import HttpResponse\nfrom django.urls import path\n\nurlpatterns = [path('polls/', lambda request: HttpResponse('Choose'))]\n",
    "polls/__init__.py": "",
    "polls/tests.py": "from django.test import TestCase\n\n\nclass PollsTest(TestCase):\n" + "".join(
        f"    def test_list_{n}(self):\n        self.assertEqual(self.client.get('/polls/').status_code, 200)\n\n" for n in range(150)
    ) + "    def test_titles_are_shown(self):\n        self.assertContains(self.client.get('/polls/'), 'Vote now')\n\n    def test_missing(self):\n        self.assertEqual(self.client.get('/poll/').status_code, 200)\n",
}  # fmt: skip
NOT_TOLD = ("PASSED", "recovered 30", "/workspace/")

CASES: Sequence[Case] = (
    Case("pytest-quiet", "pytest", f"{PYTEST} -q", shop(passing()), MISSING_DISCOUNT, NOT_TOLD),
    Case("pytest-verbose", "pytest", f"{PYTEST} -v", shop(passing()), MISSING_DISCOUNT, NOT_TOLD),
    Case("pytest-verbose-color", "pytest", f"{PYTEST} -vv --color=yes", shop(passing()), MISSING_DISCOUNT, (*NOT_TOLD, "\x1b")),
    Case("pytest-dict-diff", "pytest", f"{PYTEST} -vv", shop(CATALOG, orders=False), ("test_catalog_is_whole", "'stock': 1"), ("/workspace/",)),
    Case("pytest-collection", "pytest", f"{PYTEST} -v", shop(passing(), {"tests/test_a_new.py": "from shop.invoices import Invoice\n\n\ndef test_it():\n    Invoice()\n"}, orders=False), ("tests/test_a_new.py", "No module named 'shop.invoices'"), NOT_TOLD),
    Case("pytest-conftest", "pytest", f"{PYTEST} -v", shop({"tests/conftest.py": "import shop.settings\n"}), ("ModuleNotFoundError: No module named 'shop.settings'",), NOT_TOLD),
    Case("pytest-xdist", "pytest", f"{PYTEST} -v -n 2", shop(passing(20)), MISSING_DISCOUNT, NOT_TOLD),
    Case("pytest-short", "pytest", f"{PYTEST} -v --tb=short", shop(passing()), MISSING_DISCOUNT, NOT_TOLD),
    Case("pytest-native", "pytest", f"{PYTEST} -v --tb=native", shop(passing()), ("test_a_discount_lowers_the_total", "16.5 == 13.5"), NOT_TOLD),
    Case("pytest-line", "pytest", f"{PYTEST} -v --tb=line", shop(passing()), ("tests/test_orders.py:19", "assert 16.5 == 13.5"), NOT_TOLD),
    Case("pytest-fixture", "pytest", f"{PYTEST} -v -o log_cli=true", shop(passing(), {"tests/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef database():\n    raise ConnectionError('no database at db:5432')\n", "tests/test_store.py": "".join(f"def test_store_{n}(database):\n    assert database\n\n\n" for n in range(30))}, orders=False), ("ConnectionError: no database at db:5432", "tests/conftest.py:6"), NOT_TOLD),
    Case("pytest-coverage", "pytest", f"{PYTEST} -v --cov=shop --cov-report=term-missing --cov-fail-under=90", shop(passing(20), orders=False), ("Required test coverage of 90% not reached",), NOT_TOLD),
    Case("pytest-crash", "pytest", f"{PYTEST} -v", shop(passing(20), {"tests/test_part_10z.py": "import ctypes\n\n\ndef test_native():\n    ctypes.string_at(0)\n"}, orders=False), ("Fatal Python error: Segmentation fault", "tests/test_part_10z.py"), ("PASSED",)),
    Case("pytest-hypothesis", "pytest", f"{PYTEST} -v", shop(passing(20), {"tests/test_sorting.py": "from hypothesis import given, strategies as st\n\n\ndef unique(numbers):\n    return list(set(numbers))\n\n\n@given(st.lists(st.integers()))\ndef test_order_is_kept(numbers):\n    assert unique(numbers) == list(dict.fromkeys(numbers))\n"}, orders=False), ("test_order_is_kept", "tests/test_sorting.py:10"), NOT_TOLD),
    Case("pytest-secret", "pytest", f"{PYTEST} -v", shop(passing(20), {"tests/test_upload.py": "def upload(token):\n    raise PermissionError(f'token {token} may not upload')\n\n\ndef test_upload():\n    upload('ghp_' + 'a1B2' * 9)\n"}, orders=False), ("PermissionError: token ghp_", "may not upload"), ("a1B2a1B2", "PASSED")),
    Case("pytest-many", "pytest", f"{PYTEST}", shop({f"tests/test_many_{n}.py": f"import pytest\nfrom shop.part_{n:02} import price_{n}\n\n\n@pytest.mark.parametrize('count', range(20))\ndef test_free(count):\n    assert price_{n}(count) == 0\n" for n in range(6)}, orders=False), ("tests/test_many_0.py:7", "assert 1.5 == 0", "114 failed"), ("/workspace/",)),
    Case("unittest-verbose", "unittest", "python -m unittest discover -v -s tests -t .", shop(unit(30), tests=ORDER_UNIT), ("test_a_discount_lowers_the_total", "AssertionError: 16.5 != 13.5"), ("... ok", "/workspace/")),
    Case("unittest-import", "unittest", "python -m unittest discover -v -s tests -t .", shop(unit(20), {"tests/test_new.py": "from shop.invoices import Invoice\n"}, orders=False), ("tests.test_new", "No module named 'shop.invoices'"), ("... ok",)),
    Case("django", "django test", "python manage.py test -v 2", DJANGO, ("test_titles_are_shown", "Couldn't find 'Vote now'"), ("... ok", "Applying"), composed=True),
    Case("mypy", "mypy", "mypy --cache-dir=/dev/null app", typed(50), ('app/ports.py:17: error: Argument 1 to "use" has incompatible type "Memory"', 'Incompatible return value type (got "str", expected "int")', "Found 101 errors in 51 files"), ("/workspace/",)),
    Case("mypy-notes", "mypy", "mypy --cache-dir=/dev/null app", typed(0), ('app/ports.py:17: error: Argument 1 to "use" has incompatible type "Memory"', "Expected:"), ()),
    Case("mypy-json", "mypy", "mypy --cache-dir=/dev/null --output json app", typed(40), ("app/ports.py:17", 'Argument 1 to \"use\" has incompatible type', "Incompatible return value type"), ('"severity"',), composed=True),
    Case("pyright", "pyright", "pyright app", typed(30), ('Type "str" is not assignable to return type "int"', "app/module_00.py:5:12"), ("/workspace/",), needs=("pyright",)),
    Case("pyright-json", "pyright", "pyright --outputjson app", typed(30), ('Type "str" is not assignable to return type "int"', "app/module_00.py:5:12"), ("/workspace/", '"severity"'), needs=("pyright",), composed=True),
    Case("ty", "ty", "ty check app", typed(30), ("app/module_00.py:5:12",), ("/workspace/",)),
    Case("ruff", "ruff", "ruff check --no-cache .", untidy(20), ("F401", "app/untidy_00.py:1:8"), ()),
    Case("ruff-concise", "ruff", "ruff check --no-cache --output-format=concise .", untidy(30), ("app/untidy_00.py:1:8: F401",), ()),
    Case("ruff-json", "ruff", "ruff check --no-cache --output-format=json .", untidy(20), ("app/untidy_00.py:1:8", "F401"), ('"fix"', "end_location"), composed=True),
    Case("ruff-sarif", "ruff", "ruff check --no-cache --output-format=sarif .", untidy(20), ("app/untidy_00.py:1:8", "F401"), ('"$schema"',), composed=True),
    Case("ruff-format", "ruff format", "ruff format --no-cache --check .", untidy(300), ("app/untidy_00.py", "300 files would be reformatted"), ()),
    Case("ruff-format-broken", "ruff format", "ruff format --no-cache --check .", untidy(20) | {"app/a_broken.py": BROKEN_SYNTAX}, ("app/a_broken.py:1:12",), (), composed=True),
    Case("black-diff", "black", "black --check --diff .", untidy(25), ("app/untidy_", "25 files would be reformatted"), ()),
    Case("black-broken", "black", "black --check -v .", library(60) | {"app/a_broken.py": BROKEN_SYNTAX}, ("cannot format app/a_broken.py", "Cannot parse"), ("wasn't modified",)),
    Case("flake8", "flake8", "flake8", untidy(40), ("./app/untidy_00.py:1:1: F401 'os' imported but unused", "F821 undefined name"), ()),
    Case("pylint", "pylint", "pylint app", untidy(30) | {"app/__init__.py": ""}, ("undefined-variable", "app/untidy_"), ("rated at 10",)),
    Case("bandit", "bandit", "bandit -r app", untidy(30), ("app/untidy_00.py:14", "Use of exec detected"), (), composed=True),
    Case("isort", "isort", "isort --check --diff .", untidy(40), ("Imports are incorrectly sorted",), ()),
    Case("yamllint", "yamllint", "yamllint .", {f"conf/{n:02}.yaml": "a:   1\nb: [1,2 ]\n" + ("c: {\n" if n == 20 else "") for n in range(60)}, ("syntax error", "conf/20.yaml"), (), composed=True),
    Case("tox", "tox", "tox -v", shop(passing(), {"tox.ini": "[tox]\nskipsdist = true\nenvlist = tests\n[testenv]\nskip_install = true\nallowlist_externals = *\nsetenv = PYTHONPATH = {toxinidir}\ncommands = pytest -v -p no:cacheprovider\n"}), MISSING_DISCOUNT, NOT_TOLD),
    Case("nox", "nox", "nox", shop(passing(20), {"noxfile.py": "import nox\n\n\n@nox.session(venv_backend='none')\ndef lint(session):\n    session.run('ruff', 'check', '--no-cache', 'shop')\n\n\n@nox.session(venv_backend='none')\ndef tests(session):\n    session.run('pytest', '-v', '-p', 'no:cacheprovider', env={'PYTHONPATH': '.'})\n"}), MISSING_DISCOUNT, NOT_TOLD),
    Case("pre-commit", "pre-commit", "git init -q . && git add -A && pre-commit run --all-files", untidy(15) | {".pre-commit-config.yaml": "repos:\n- repo: local\n  hooks:\n" + "".join(f"  - {{id: {name}, name: {name}, language: system, entry: {entry}, types: [python]}}\n" for name, entry in (("compile", "python -m py_compile"), ("ruff", "ruff check --no-cache --output-format=concise"), ("flake8", "flake8"), ("no-exec", "grep -nL nothing")))}, ("app/untidy_00.py:1:8: F401",), ()),
    Case("traceback", "import", "python load.py", shop({"load.py": NOISY_SCRIPT}), ("ValueError: min()",), ("row 200", "progress")),
    Case("pip", "set-up", "python -m pip install --disable-pip-version-check --no-index -r requirements.txt", {"requirements.txt": "honk-does-not-exist==1.2\n"}, ("No matching distribution found for honk-does-not-exist==1.2",), ()),
    Case("make-many-tools", "make check", "make check", shop(passing(20), {"Makefile": "check: lint test\nlint:\n\truff check --no-cache --output-format=concise shop\n\tmypy --cache-dir=/dev/null shop\ntest:\n\tpython -m pytest -v -p no:cacheprovider\n"}), MISSING_DISCOUNT, NOT_TOLD, needs=("make",)),
)  # fmt: skip
