"""The report in a real browser: no console error, no request but the file, nothing beyond the screen."""

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()


def resize(browser, width: int, scheme: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def requests_of(browser) -> list[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (420, "light")])
def test_opens_without_errors_or_requests(browser, full_report: Path, tmp_path, width, scheme):
    resize(browser, width, scheme)
    requests_of(browser)
    browser.get(full_report.as_uri())
    assert browser.title == "chen2026: report"
    assert browser.get_log("browser") == []
    beyond = [url for url in requests_of(browser) if not url.startswith(("file:", "data:"))]
    assert beyond == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    seen = "wide" if width > 640 else "narrow"
    shown = browser.execute_script(
        "return [...document.querySelectorAll('[role=img]')].filter(e => e.getClientRects().length)"
        ".map(e => e.className)"
    )
    assert shown == [seen] * 5
    taken = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    picture = tmp_path / "page.png"
    picture.write_bytes(base64.b64decode(taken["data"]))
    assert picture.stat().st_size > 20_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser, full_report: Path, scheme):
    resize(browser, 1280, scheme)
    browser.get(full_report.as_uri())
    read = "return getComputedStyle(document.documentElement).getPropertyValue(arguments[0]).trim()"
    colours = {name: browser.execute_script(read, f"--{name}") for name in _LEAST}
    for name, least in _LEAST.items():
        # WCAG 2.2: 4.5 for text, 3 for the parts of a figure that carry meaning.
        assert contrast(colours[name], colours["paper"]) >= least, (scheme, name)


_LEAST = {"paper": 1.0, "ink": 7.0, "muted": 4.5, "error": 4.5, "tip": 4.5, "naive": 3.0}


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        digits = colour.lstrip("#")
        digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)
