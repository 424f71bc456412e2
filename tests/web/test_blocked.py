"""What a sandbox was refused is seen where people look, and one tap of theirs lets it through."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

from tests.conftest import Honk
from tests.web.conftest import Up

if TYPE_CHECKING:
    from playwright.sync_api import Page

# It goes on as soon as it is let through; that the name is nobody's is then its own matter.
PATIENT = """\
import time, urllib.request, urllib.error
while True:
    try: urllib.request.urlopen("http://nowhere.invalid:8080/")
    except urllib.error.HTTPError as error:
        if error.code != 403: break
    time.sleep(0.02)
open("app.txt", "a").write("let through\\n")
"""
AGENT = f"script:python3 -c '{PATIENT}'"


def _ask(up: Up, agent: str, key: str = "k1") -> str:
    body = {"repo": str(up.repo), "text": "Fetch it", "agent": agent, "key": key}
    return str(up.client.post("/api/v1/tasks", json=body).json()["id"])


def _until(up: Up, task: str, what: str) -> dict[str, Any]:
    """The task, as soon as its view has something there."""
    deadline = time.monotonic() + 60
    while True:
        seen: dict[str, Any] = up.client.get(f"/api/v1/tasks/{task}").json()
        if seen[what] or seen["state"] == what:
            return seen
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)


def _ready(up: Up, task: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (seen := up.client.get(f"/api/v1/tasks/{task}").json())["state"] not in ("ready", "failed"):
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return dict(seen)


def _tap(up: Up, task: str, host: str, key: str = "tap") -> tuple[int, dict[str, Any]]:
    answer = up.client.post(f"/api/v1/tasks/{task}/actions", json={"action": "allow", "host": host, "key": key})
    return answer.status_code, answer.json()


def test_a_tap_on_the_card_lets_the_running_agent_through(phone: Page, up: Up) -> None:
    task = _ask(up, AGENT)
    phone.goto(up.link)
    phone.goto(f"{up.url}/tasks/{task}")
    blocked = phone.get_by_role("list", name="Blocked")
    blocked.wait_for()
    assert "nowhere.invalid:8080 asked for by the agent" in blocked.inner_text()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    phone.get_by_role("button", name="Allow nowhere.invalid").click()
    phone.get_by_text("You allowed nowhere.invalid:8080 in this repository").wait_for()
    phone.get_by_text("is ready to try").wait_for()
    assert phone.get_by_role("list", name="Blocked").count() == 0
    assert phone.locator(".note.egress-refused").count() == 1
    phone.get_by_role("link", name="take it back").click()
    allowed = phone.get_by_role("list", name="Allowed")
    assert "nowhere.invalid:8080 by You" in allowed.inner_text()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    phone.get_by_role("button", name="Take back nowhere.invalid").click()
    phone.get_by_text("Nobody has allowed any host in").wait_for()
    again = up.client.post(f"{up.url}/tasks/{task}/egress", data={"entry": "nowhere.invalid:8080"})
    assert again.status_code == 409
    assert "Nobody has allowed nowhere.invalid:8080" in again.text


def test_the_interface_allows_for_good_and_the_owner_takes_it_back(up: Up, honk: Honk) -> None:
    task = _ask(up, AGENT)
    seen = _until(up, task, "blocked")
    assert seen["blocked"] == [
        {
            "host": "nowhere.invalid", "port": 8080, "by": "agent", "why": "not on the list",
            "allow": "nowhere.invalid:8080",
        }
    ]  # fmt: skip
    for wrong in ("other.example:443", "nowhere.invalid", "*.invalid:8080", ""):
        status, told = _tap(up, task, wrong)
        assert status in (409, 422, 400), told
    assert _tap(up, task, "nowhere.invalid:8080")[0] == 202
    assert _ready(up, task)["state"] == "ready"
    assert _tap(up, task, "nowhere.invalid:8080", "again")[0] == 202

    # The next task of the repository is let through without a word.
    later = _ask(up, AGENT, "k2")
    assert _ready(up, later)["blocked"] == []
    listed = json.loads(honk("egress", "list", "--json", check=0).stdout)["allowed"]
    assert [(one["repository"], one["host"], one["port"]) for one in listed] == [("project", "nowhere.invalid", 8080)]
    assert "nowhere.invalid:8080" in honk("egress", "list", check=0).stdout

    honk("egress", "revoke", "project", "nowhere.invalid:8080", check=0)
    assert "Nobody has allowed" in honk("egress", "revoke", "project", "nowhere.invalid:8080", check=2).stderr
    third = _ask(up, AGENT, "k3")
    assert _until(up, third, "blocked")["blocked"][0]["allow"] == "nowhere.invalid:8080"
    shown = re.sub(r"\s+", " ", honk("task", "show", third, check=0).stdout)
    assert "blocked: nowhere.invalid:8080 (agent)" in shown
    honk("egress", "allow", third, "nowhere.invalid:8080", check=0)
    assert _ready(up, third)["state"] == "ready"


def test_no_tap_opens_a_private_network(up: Up) -> None:
    hosts = ["169.254.169.254:80", "10.1.2.3:443", "[::1]:443", "[64:ff9b::a00:1]:443"]
    code = (
        "import socket\n"
        f"for host in {json.dumps(hosts)}:\n"
        '    c = socket.create_connection(("127.0.0.1", 4002))\n'
        '    c.sendall(b"CONNECT %s HTTP/1.1\\r\\n\\r\\n" % host.encode()); print(c.recv(99))\n'
    )
    task = _ask(up, f"script:python3 -c '{code}'; echo x >> app.txt")
    seen = _ready(up, task)
    assert seen["state"] == "ready", seen
    assert [one["allow"] for one in seen["blocked"]] == [None] * len(hosts)
    for host in hosts:
        status, told = _tap(up, task, host)
        assert status == 409, host
        assert "private network" in told["error"], host


def test_what_checks_and_builds_are_refused_is_seen_and_a_retry_makes_use_of_the_tap(up: Up) -> None:
    fetch = 'import urllib.request; urllib.request.urlopen("http://nowhere.invalid:8080/")'
    check = f"python3 -c '{fetch}' 2>&1 | grep -q 502"
    (up.repo / "honk.yaml").write_text(json.dumps({"verify": {"fetch": check}, "builds": {}}))
    from tests.conftest import git

    git(up.repo, "commit", "-qam", "Fetch in a check")
    task = _ask(up, "script:echo more >> app.txt")
    seen = _ready(up, task)
    assert seen["state"] == "failed"
    assert [(one["host"], one["by"]) for one in seen["blocked"]] == [("nowhere.invalid", "checks")]
    assert _tap(up, task, "nowhere.invalid:8080")[0] == 202
    up.client.post(f"/api/v1/tasks/{task}/actions", json={"action": "retry", "key": "r"})
    deadline = time.monotonic() + 60
    while (seen := up.client.get(f"/api/v1/tasks/{task}").json())["state"] != "ready":
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    assert seen["checks"][0]["status"] == "passed"


def test_an_agent_that_asks_for_any_number_of_hosts_does_not_flood_the_thread(up: Up) -> None:
    code = (
        "import socket\n"
        "for number in range(150):\n"
        '    c = socket.create_connection(("127.0.0.1", 4002))\n'
        '    c.sendall(b"CONNECT h%d.example:443 HTTP/1.1\\r\\n\\r\\n" % number); c.recv(99)\n'
    )
    task = _ask(up, f"script:python3 -c '{code}'; echo x >> app.txt")
    assert len(_ready(up, task)["blocked"]) == 100
