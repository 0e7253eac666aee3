"""A headless Chromium, driven over its own protocol: what a reader's browser asks for, says and shows.

Needs nothing but the browser and websocket-client, which Jupyter brings.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
)  # fmt: skip
DESKTOP, PHONE = (1280, 900), (390, 844)


def chromium() -> str | None:
    """The browser of this machine, if it has one."""
    named = os.environ.get("KDCORE_CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), MAC if Path(MAC).is_file() else None)


LEFT = "navigated or closed"  # what Chromium says when a script's page goes away under it


class Navigated(Exception):
    """The page was left while a script ran in it."""


class Page:
    """One tab. `visit` loads a file, `run` evaluates a script in it, `requests` and `faults` tell what happened."""

    def __init__(self, address: str) -> None:
        import websocket

        self.socket = websocket.create_connection(address, timeout=60, suppress_origin=True)
        self.count = 0
        self.requests: list[str] = []
        self.faults: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": values}))
        while (told := json.loads(self.socket.recv())).get("id") != self.count:
            self.note(told)
        if LEFT in (error := told.get("error", {})).get("message", ""):
            raise Navigated(error["message"])
        assert not error, f"{method}: {error}"
        return told["result"]

    def note(self, event: dict[str, Any]) -> None:
        name, values = event.get("method"), event.get("params", {})
        if name == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif name == "Network.loadingFailed" and not values.get("canceled"):
            self.faults.append(f"could not load: {values['errorText']}")
        elif name == "Runtime.exceptionThrown":
            self.faults.append(values["exceptionDetails"].get("exception", {}).get("description", "an exception"))
        elif name == "Runtime.consoleAPICalled" and values["type"] == "error":
            self.faults.append(" ".join(str(part.get("value", part)) for part in values["args"]))
        elif name == "Log.entryAdded" and values["entry"]["level"] == "error":
            self.faults.append(f"{values['entry']['text']} {values['entry'].get('url', '')}")

    def visit(self, path: Path | str, query: str = "", size: tuple[int, int] = DESKTOP, scheme: str = "light") -> Page:
        """Load a file as a reader without a network would, or an address, and wait until it has drawn itself."""
        self.requests.clear()
        self.faults.clear()
        width, height = size
        phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )  # fmt: skip
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        address = path if isinstance(path, str) else path.resolve().as_uri()
        self.call("Page.navigate", url=address + query)
        self.until("document.readyState === 'complete'")
        self.run("window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => true) : true")
        return self

    def until(self, condition: str, seconds: float = 30.0) -> None:
        """Wait for a condition, also on the page that comes after this one."""
        end = time.monotonic() + seconds
        while not self.holds(condition):
            assert time.monotonic() < end, f"still not true after {seconds:.0f} s: {condition}"
            time.sleep(0.05)

    def holds(self, condition: str) -> bool:
        try:
            return bool(self.run(condition))
        except Navigated:
            return False

    def run(self, script: str) -> Any:
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def picture(self, path: Path, whole: bool = False) -> Path:
        told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))
        return path


@contextmanager
def browser():
    """A page of a browser that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="kd", ignore_cleanup_errors=True) as home:
        command = [chromium(), *FLAGS, f"--user-data-dir={home}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        page = None
        try:
            page = Page(address(Path(home, "DevToolsActivePort")))
            yield page
        finally:
            if page:
                page.socket.close()
            process.terminate()
            process.wait(20)


def address(note: Path, seconds: float = 60.0) -> str:
    """Where the browser listens, once it has said so."""
    import urllib.request

    end = time.monotonic() + seconds
    while not (note.is_file() and "\n" in note.read_text()):
        assert time.monotonic() < end, "the browser did not start"
        time.sleep(0.1)
    port = note.read_text().splitlines()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
        return next(tab["webSocketDebuggerUrl"] for tab in json.load(answer) if tab["type"] == "page")
