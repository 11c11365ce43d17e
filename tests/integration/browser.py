"""A real browser for tests: headless Chromium, spoken to over its own pipe (the DevTools protocol, no port, nothing to install beside it).
It sees no network: what a page asks for is recorded, and only what the test allows is answered."""
import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse

from harness import BYSTANDERS, SLOW, children, command_line, descendants, send, wait_until

CHROMIUM = shutil.which("chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-breakpad", "--disable-crash-reporter", "--disable-dev-shm-usage",
         "--no-proxy-server", "--hide-scrollbars", "--remote-debugging-pipe"]


class Browser:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="xackd-browser-")
        self.number = 0
        self.events = []
        self.rest = b""
        before = {p.pid for p in children(os.getpid())}
        read, their_write = os.pipe()
        their_read, write = os.pipe()
        self.read_fd, self.write_fd = read, write

        def place():
            """Chromium reads commands from descriptor 3 and answers on 4."""
            for fd, to in [(fcntl.fcntl(fd, fcntl.F_DUPFD, 10), to) for fd, to in ((their_read, 3), (their_write, 4))]:
                os.dup2(fd, to)
        self.process = subprocess.Popen(
            [CHROMIUM] + FLAGS + ["--user-data-dir=" + self.folder, "about:blank"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, pass_fds=(3, 4), preexec_fn=place, start_new_session=True, env=dict(os.environ, HOME=self.folder))
        os.close(their_read)
        os.close(their_write)
        os.set_blocking(read, False)
        self.before = before
        BYSTANDERS.add(self.process.pid)  # it lives longer than a test's box

    def adopt(self):
        """Its helpers that became our children are no strays of a test's box."""
        BYSTANDERS.update(p.pid for p in children(os.getpid()) if self.folder in command_line(p.pid))

    def close(self):
        """Nothing of it stays: its processes are ours in the end, whatever they did."""
        mine = [p.pid for p in descendants(self.process.pid)] + [self.process.pid]
        os.close(self.write_fd)
        os.close(self.read_fd)
        for pid in mine:
            send(pid, signal.SIGKILL)
        self.process.wait(20)
        BYSTANDERS.discard(self.process.pid)

        def gone():
            left = [p for p in children(os.getpid()) if p.pid not in self.before]
            for p in left:
                send(p.pid, signal.SIGKILL)
                try:
                    os.waitpid(p.pid, os.WNOHANG)
                except ChildProcessError:
                    pass
            return not left
        wait_until(gone, 10, "the browser's processes end")
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- the protocol: JSON, each message ended by a NUL --

    def messages(self):
        try:
            data = os.read(self.read_fd, 1 << 20)
        except BlockingIOError:
            return []
        assert data, "the browser is gone"
        *whole, self.rest = (self.rest + data).split(b"\0")
        return [json.loads(text) for text in whole]

    def call(self, method, session=None, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write_fd, data):]
        found = []

        def answered():
            for text in self.messages():
                (found if text.get("id") == self.number else self.events).append(text)
            return found
        wait_until(answered, 60, method, step=0.005)
        assert "error" not in found[0], (method, found[0])
        return found[0]["result"]

    def page(self, url, **how):
        return Page(self, url, **how)


class Page:
    """One page, from its first request on."""

    def __init__(self, browser, url, width=1280, height=900, dark=False, script=True):
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.media(dark=dark)
        if not script:
            self.call("Emulation.setScriptExecutionDisabled", value=True)
        self.url = url
        self.call("Page.navigate", url=url)
        wait_until(lambda: self.of("Page.loadEventFired"), 30, "the page is loaded")

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def media(self, dark=False, media=""):
        self.call("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def of(self, method):
        for text in self.browser.messages():
            self.browser.events.append(text)
        return [e["params"] for e in self.browser.events if e.get("sessionId") == self.session and e["method"] == method]

    def eval(self, expression):
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, expression, timeout=15):
        return wait_until(lambda: self.eval(expression), timeout, expression)

    def complaints(self):
        """Everything that a developer's console would show, and errors that nobody caught."""
        said = self.of("Runtime.consoleAPICalled") + self.of("Runtime.exceptionThrown") + self.of("Log.entryAdded")
        return [json.dumps(params)[:400] for params in said]

    def requests(self):
        """URLs of all that was asked for beside the page itself; what stands in the page (data:) is no request."""
        urls = [params["request"]["url"] for params in self.of("Network.requestWillBeSent")]
        return [url for url in urls if url != self.url and urllib.parse.urlsplit(url).scheme != "data"]

    def screenshot(self, path=None):
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path:
            with open(path, "wb") as file:
                file.write(data)
        return data

    def key(self, name, code, text=""):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code, text=text if kind == "keyDown" else "")


def settle(seconds=0.3):
    """Time for what a page might do wrongly on its own."""
    time.sleep(seconds * SLOW)
