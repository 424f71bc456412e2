"""Which device a request comes from."""

from __future__ import annotations

import pytest

from honk.ship.packages import Device, device_of

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS {} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) {} Safari/604.1"
CHROME = "Mozilla/5.0 (Linux; Android {}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605"


@pytest.mark.parametrize(
    ("agent", "hints", "device"),
    [
        pytest.param(
            IPHONE.format("17_5_1", "Version/17.5 Mobile/15E148"), {}, Device("ios", "17.5.1", "iPhone"), id="an iPhone"
        ),
        pytest.param(
            IPHONE.format("18_6", "Version/26.1 Mobile/15E148"), {}, Device("ios", "26.1", "iPhone"), id="Safari 26"
        ),
        pytest.param(
            IPHONE.format("18_7", "CriOS/142.0 Mobile/15E148"), {}, Device("ios", None, "iPhone"), id="Chrome on iOS 26"
        ),
        pytest.param(
            "Mozilla/5.0 (iPad; CPU OS 15_8 like Mac OS X) AppleWebKit/605.1.15",
            {},
            Device("ios", "15.8", "iPad"),
            id="an iPad that says so",
        ),
        pytest.param(MAC, {}, Device("desktop"), id="a Mac, or an iPad that says it is one"),
        pytest.param(CHROME.format("10; K"), {}, Device("android"), id="Chrome with nothing to tell"),
        pytest.param(
            CHROME.format("10; K"),
            {
                "Sec-CH-UA-Platform-Version": '"16.0.0"',
                "Sec-CH-UA-Model": '"Pixel 10"',
                "Sec-CH-UA-Platform": '"Android"',
            },
            Device("android", "16.0.0", "Pixel 10"),
            id="Chrome with hints",
        ),
        pytest.param(
            CHROME.format("10; K"),
            {"sec-ch-ua-arch": '"arm"', "sec-ch-ua-bitness": '"64"'},
            Device("android", abis=("arm64-v8a", "armeabi-v7a", "armeabi")),
            id="Chrome that tells its processor",
        ),
        pytest.param(
            CHROME.format("8.1.0; Nexus 5X Build/OPM7"), {}, Device("android", "8.1.0", "Nexus 5X"), id="an old phone"
        ),
        pytest.param(
            "Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
            {},
            Device("android", "14"),
            id="Firefox",
        ),
        pytest.param(
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36",
            {"sec-ch-ua-platform": '"Android"'},
            Device("android"),
            id="Android that asks for the desktop page",
        ),
        pytest.param("curl/8.0", {}, Device("desktop"), id="a program"),
        pytest.param("", {}, Device("desktop"), id="nothing"),
        pytest.param("Android " * 50_000, {}, Device("android"), id="a very long one"),
    ],
)
def test_a_device_is_known_by_what_its_browser_says(agent: str, hints: dict[str, str], device: Device) -> None:
    assert device_of(agent, hints) == device
