"""The reader in JavaScript in a real browser: every case of the suite, read from Blobs."""

import functools
import http.server
import json
import pathlib
import queue
import shutil
import subprocess
import threading

import pytest

from ptformat.conformance import suite
from ptformat.conformance.verdict import compare

ROOT = pathlib.Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
SECONDS = 240


class Serving(http.server.SimpleHTTPRequestHandler):
    """The checkout, and a place to post answers to."""

    answers: queue.Queue

    def do_POST(self):
        self.answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Id -> the browser's answers, of every case."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert browser, f"none of {', '.join(BROWSERS)} is installed: apt-get install chromium"
    serving = type("Bound", (Serving,), {"answers": queue.Queue()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(serving, directory=ROOT))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    profile = tmp_path_factory.mktemp("profile")
    address = f"http://127.0.0.1:{server.server_port}/tests/viewer/browser.html"
    child = subprocess.Popen(
        [browser, *FLAGS, f"--user-data-dir={profile}", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return serving.answers.get(timeout=SECONDS)
    finally:
        child.kill()
        child.wait()
        server.shutdown()
        thread.join()
        server.server_close()


def test_every_case(answers):
    wrong = {}
    for case in suite.listed():
        decode, verify = answers[case.id]["decode"], answers[case.id]["verify"]
        if case.verdict == "accept" and decode.get("code") in case.codes:
            if verify.get("code") not in case.codes:
                wrong[case.id] = verify
        elif case.verdict == "accept":
            if decode["result"] != "ok" or (why := compare(case.content(), decode["content"])[0]):
                wrong[case.id] = decode if decode["result"] != "ok" else why
            if verify["result"] != "ok":
                wrong[case.id] = verify
        elif verify.get("code") not in case.codes or (decode.get("code") not in case.codes and case.phase != "verify"):
            wrong[case.id] = decode, verify
    assert wrong == {}
    assert len(answers) == len(suite.listed())
