"""A browser for the tests of the web page: Debian's Chromium, told what to do through tests/page/browser.mjs.

Standard library, node and the packages that tests/page/package-lock.json pins.
"""

import json
import os
import select
import shutil
import subprocess
from pathlib import Path

import npm
from harness import ROOT, end_all, marked_pids, node
from npm import Unusable
from wire import wait_until

SOURCE = ROOT / "tests" / "page"
DARK = {"colorScheme": "dark"}
PHONE = {"viewport": {"width": 390, "height": 844}, "hasTouch": True, "isMobile": True}
ANSWER_LIMIT = 60


class PageFails(AssertionError):
    """The page did not become what the test waits for."""


def chromium():
    named = os.environ.get("CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser")


def install(tool):
    folder = npm.install(tool, SOURCE, "page", "playwright-core and axe-core")
    shutil.copy(SOURCE / "browser.mjs", folder / "browser.mjs")
    return folder


class Browser:
    """One Chromium. Raises Unusable, with what to install, where there can be none."""

    def __init__(self):
        path, tool = chromium(), node()
        if not path:
            raise Unusable("no chromium: apt-get install chromium, or set CHROMIUM")
        if tool is None:
            raise Unusable("no node of version 22 or newer with npm: run tools/node.sh build/node, or set NODE")
        folder = install(tool)
        # all that the browser starts carries this mark, and ends with it
        self.mark = f"pm-page-{os.getpid()}-{os.urandom(6).hex()}"
        self.count = 0
        env = dict(os.environ, POINTSMAN_TEST_PAGE=self.mark, PATH=f"{tool.parent}:{os.environ['PATH']}")
        self.proc = subprocess.Popen([str(tool), str(folder / "browser.mjs"), path], cwd=folder, env=env, text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)

    def tell(self, act, page, *words):
        self.count += 1
        self.proc.stdin.write(json.dumps({"n": self.count, "do": act, "page": page, "with": words}) + "\n")
        self.proc.stdin.flush()
        if not select.select([self.proc.stdout], [], [], ANSWER_LIMIT)[0]:
            raise PageFails(f"{act}: the browser has not answered for {ANSWER_LIMIT} s")
        line = self.proc.stdout.readline()
        if not line:
            raise PageFails(f"{act}: the browser has ended")
        answer = json.loads(line)
        if "fails" in answer:
            raise PageFails(answer["fails"])
        return answer["gives"]

    def open(self, url=None, **how):
        """A page with nothing in store from earlier ones. how: Playwright's options of a context, `axe`, `at`."""
        page = Page(self, self.tell("open", 0, how))
        if url:
            page.goto(url)
        return page

    def close(self):
        try:
            self.proc.stdin.close()
            self.proc.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self.proc.kill()
            self.proc.wait()
        end_all(marked_pids(self.mark))
        self.proc.stdout.close()


class Page:
    """A tab. Selectors are Playwright's. Each act waits up to ten seconds for what it needs."""

    def __init__(self, browser, number):
        self._browser = browser
        self._number = number

    def __getattr__(self, act):
        if act.startswith("_"):
            raise AttributeError(act)
        return lambda *words: self._browser.tell(act, self._number, *words)

    def text(self, selector):
        return "\n".join(self.texts(selector))

    def until(self, cond, timeout=10, what="the page"):
        """Polls cond(page), which is given this page."""
        try:
            return wait_until(lambda: cond(self), timeout, what, step=0.05)
        except AssertionError as error:
            raise PageFails(f"{error}; the page says: {self.text('body')[:1500]}") from None

    def says(self, selector, text, timeout=10):
        """Waits until what the selector finds holds a text."""
        return self.until(lambda page: text in page.text(selector), timeout, f"`{text}` in {selector}")

    def connected(self, timeout=10):
        return self.says("#link", "connected", timeout)

    def show(self, part):
        self.click(f"nav a[href='#{part}']")
        self.wait(f"#{part}")
        return self

    def faults(self, origin):
        """Errors of the console, and requests that went to another origin than this one."""
        noted = self.noted()
        mine = (f"{origin}/", "data:", "blob:")
        return noted["errors"] + [url for url in noted["requests"] if not url.startswith(mine)]

    def serious(self):
        """axe's findings of these weights; the page was opened with axe."""
        return [f for f in self.axe() if f["impact"] in ("serious", "critical")]
