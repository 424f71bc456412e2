"""Who opened something: a person on a device, or a program that looks at links for somebody."""

from __future__ import annotations

import pytest

from honk.ship.visitors import fetched_by, opened_by

_IOS = "Mozilla/5.0 (iPhone; CPU iPhone OS {} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) {} Mobile/15E148"
_ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36"
)
_DESKTOP = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) {}"
PEOPLE = {
    "iPhone, iOS 17": _IOS.format("17_5_1", "Version/17.5.1") + " Safari/604.1",
    "iPhone, iOS 26": _IOS.format("18_6", "Version/26.0") + " Safari/604.1",
    "iPhone": _IOS.format("18_7", "CriOS/141.0.0.0") + " Safari/604.1",
    "iPad, iPadOS 16": "Mozilla/5.0 (iPad; CPU OS 16_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/16.1 Mobile/15E148 Safari/604.1",
    "Pixel 6, Android 14": "Mozilla/5.0 (Linux; Android 14; Pixel 6 Build/AP2A; wv) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Version/4.0 Chrome/120.0.0.0 Mobile Safari/537.36",
    "Android device": _ANDROID,
    "SM-G930F, Android 8": "Mozilla/5.0 (Linux; Android 8.0.0; SM-G930F) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/100.0.0.0 Mobile Safari/537.36",
    "Chrome on Linux": _DESKTOP.format("X11; Linux x86_64", "Chrome/141.0.0.0 Safari/537.36"),
    "Edge on Windows": _DESKTOP.format("Windows NT 10.0; Win64; x64", "Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0"),
    "Safari on Mac": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Safari/605.1.15",
    "Firefox on Linux": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}


@pytest.mark.parametrize(("device", "agent"), PEOPLE.items(), ids=PEOPLE)
def test_a_person_is_known_by_the_device_and_by_nothing_else(device: str, agent: str) -> None:
    found = opened_by({"user-agent": agent, "accept": "text/html", "x-forwarded-for": "192.0.2.7"})
    assert found is not None
    assert found.device == device
    assert "192.0.2.7" not in repr(found)


def test_what_chrome_only_tells_when_asked_is_told() -> None:
    hints = {
        "sec-ch-ua-platform": '"Android"',
        "sec-ch-ua-platform-version": '"16.0.0"',
        "sec-ch-ua-model": '"Pixel 8"',
    }
    found = opened_by({"user-agent": _ANDROID, "accept": "text/html"} | hints)
    assert found and (found.device, found.exact) == ("Pixel 8, Android 16", True)


def test_a_name_that_was_made_up_is_short_and_plain() -> None:
    hints = {"sec-ch-ua-platform-version": '"16"', "sec-ch-ua-model": "a\u202eb\n" + "x" * 5000}
    found = opened_by({"user-agent": _ANDROID, "accept": "text/html"} | hints)
    assert found and len(found.device) < 100
    assert "\n" not in found.device and "\u202e" not in found.device


@pytest.mark.parametrize(
    "agent",
    [
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "Slack-ImgProxy (+https://api.slack.com/robots)",
        "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
        "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com",
        "WhatsApp/2.23.20.0 A",
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; +http://google.com/bot.html) "
        "Chrome/141.0.0.0 Safari/537.36",
        _DESKTOP.format("X11; Linux x86_64", "HeadlessChrome/141.0.0.0 Safari/537.36"),
        "python-httpx/0.28.1",
        "",
    ],
)
def test_a_program_is_nobody(agent: str) -> None:
    assert opened_by({"user-agent": agent, "accept": "text/html"}) is None
    assert fetched_by({"user-agent": agent}) is None


def test_what_fetches_for_a_person_counts_where_it_fetches_an_app() -> None:
    ios = "com.apple.appstored/1.0 iOS/26.1 model/iPad14,3 hwp/t8112 build/23B85 (6; dt:308)"
    android = "AndroidDownloadManager/16 (Linux; U; Android 16; Pixel 8 Build/BP2A)"
    assert [getattr(fetched_by({"user-agent": one}), "device", None) for one in (ios, android)] == [
        "iPad, iPadOS 26", "Pixel 8, Android 16",
    ]  # fmt: skip
    assert opened_by({"user-agent": ios, "accept": "text/html"}) is None
