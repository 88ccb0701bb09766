"""A headless Chromium that tests drive by its own protocol (CDP), with an empty profile.

    with open_browser(folder) as page:
        page.open(path)
        page.evaluate("document.title")

No proxy, no network: every host but this machine's files resolves to nothing.
"""

import itertools
import json
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS = 60.0
DIRECT = build_opener(ProxyHandler({}))
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-port=0",
)


def browser_path() -> str | None:
    """Where a Chromium is installed; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab; `loads` are the addresses that it asked for, `complaints` what its console said."""

    def __init__(self, socket: ClientConnection, download_folder: Path) -> None:
        self.loads: list[str] = []
        self.complaints: list[str] = []
        self._numbers = itertools.count(1)
        self._socket = socket
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(download_folder)
        )

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one command; what the browser reports meanwhile is noted."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result

    def open(self, path: Path) -> None:
        """Shows a file and waits until it has loaded."""
        self.call("Page.navigate", url=path.as_uri())
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """A real click in the middle of the first element that matches."""
        place = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        button = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **button)

    def size(self, width: int, height: int) -> None:
        """Shows the page as on a screen of that size."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **screen)

    def scheme(self, name: str) -> None:
        """`light` or `dark`, as the reader's system prefers."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def picture(self) -> bytes:
        """What is seen, as PNG."""
        return b64decode(self.call("Page.captureScreenshot")["data"])

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=START_SECONDS))
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.loads.append(message["params"]["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(message["params"]["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(message["params"]["exceptionDetails"]))
        return message


@contextmanager
def open_browser(folder: Path) -> Iterator[Page]:
    """A browser with its profile and its downloads under `folder`; ended with the block."""
    path = browser_path()
    assert path is not None, "no Chromium is installed"
    profile, downloads = folder / "profile", folder / "downloads"
    downloads.mkdir()
    with (folder / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            [path, *OPTIONS, f"--user-data-dir={profile}", "about:blank"], stdout=log, stderr=log
        )
    try:
        address = _tab(profile / "DevToolsActivePort", process)
        with connect(address, max_size=None, proxy=None) as socket:
            yield Page(socket, downloads)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _tab(port_file: Path, process: subprocess.Popen[bytes]) -> str:
    """The address of the first tab, once the browser listens."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, f"the browser ended with code {process.returncode}"
        lines = port_file.read_text().split("\n") if port_file.is_file() else []
        if len(lines) > 1:
            with DIRECT.open(f"http://127.0.0.1:{lines[0]}/json/list") as answer:
                tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
            if tabs:
                return str(tabs[0]["webSocketDebuggerUrl"])
        time.sleep(0.1)
    raise AssertionError(f"the browser did not listen within {START_SECONDS:.0f} s")
