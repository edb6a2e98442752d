"""A headless Chromium through chromedriver's own protocol, which is a few requests of JSON and needs no library."""

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, seconds=30.0):
    """What ``condition`` returns once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


class Browser:
    """One window."""

    def __init__(self, address, session):
        self._base = f"{address}/session/{session}"

    def _ask(self, method, path, **body):
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {body}: {error.read().decode()[:300]}") from None

    def open(self, url):
        self._ask("POST", "/url", url=url)

    def run(self, script):
        """What a piece of JavaScript returns."""
        return self._ask("POST", "/execute/sync", script=script, args=[])

    def keys(self, text):
        """Press and release keys."""
        actions = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._ask("POST", "/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def click(self, selector):
        found = self._ask("POST", "/element", using="css selector", value=selector)
        self._ask("POST", f"/element/{next(iter(found.values()))}/click")

    def resize(self, width, height):
        """Of what the page has, also below the least width of a window."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 600}
        self._ask("POST", "/goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=metrics)

    def command(self, name, **params):
        """One of the browser's own commands."""
        return self._ask("POST", "/goog/cdp/execute", cmd=name, params=params)

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))

    def close(self):
        self._ask("DELETE", "")


@contextlib.contextmanager
def chromium():
    """A browser, closed at the end."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    driver = subprocess.Popen(
        [DRIVER, f"--port={port}", "--silent"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1280,900",
        ]
        options = {"goog:chromeOptions": {"binary": CHROMIUM, "args": arguments}}
        body = json.dumps({"capabilities": {"alwaysMatch": options}}).encode()

        def session():
            request = urllib.request.Request(f"{address}/session", body, {"Content-Type": "application/json"})
            with contextlib.suppress(ConnectionError, urllib.error.URLError):
                return json.load(urllib.request.urlopen(request, timeout=60))["value"]["sessionId"]

        browser = Browser(address, until(session))
        yield browser
        browser.close()
    finally:
        driver.terminate()
        driver.wait()
