# SPDX-License-Identifier: MIT
"""The report of a small study in a browser: captions, figures, and no request to any host."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from checkout import snakemake

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--hide-scrollbars",
)  # fmt: skip
"""Options that keep the browser from contacting its vendor's servers."""

FIGURE = "results/counted/figures/sft_and_rl.png"
OPEN_FIGURE = f"""<script>
setTimeout(function () {{
  app.setView({{navbarMode: "resultinfo", content: "img", resultPath: "{FIGURE}",
               contentPath: results["{FIGURE}"].data_uri}});
}}, 500);
</script>"""
"""The effect of a click on a figure: the report keeps its view in this object, not in the URL."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER, reason="no chromium: `apt-get install chromium` and run again"),
]


@pytest.fixture(scope="module")
def report(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The self-contained report of the finished study."""
    clone = tmp_path_factory.mktemp("report") / "checkout"
    shutil.copytree(finished, clone)
    page = clone.parent / "report.html"
    done = snakemake(clone, "--report", str(page))
    assert done.returncode == 0, done.stdout
    return page


@pytest.fixture(scope="module")
def opened(report: Path) -> Path:
    """The report with a figure clicked on."""
    page = report.with_name("opened.html")
    page.write_text(report.read_text() + OPEN_FIGURE)
    return page


def browse(page: Path, *arguments: str) -> str:
    """Open a page without name resolution; returns what the browser prints."""
    profile = page.parent / "profile"
    done = subprocess.run(
        [BROWSER, *QUIET, f"--user-data-dir={profile}", "--host-resolver-rules=MAP * ~NOTFOUND",
         "--window-size=1300,900", "--virtual-time-budget=8000", *arguments, page.as_uri()],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    return done.stdout


def requested(log: Path) -> set[str]:
    """URLs that the page requested, from a log of Chromium's network stack.

    Requests of the browser itself have no origin and do not count. Name resolution is off, so they
    reach no host.
    """
    text = log.read_text()
    try:
        events = json.loads(text)["events"]
    except json.JSONDecodeError:  # the browser was closed before it ended the list
        events = json.loads(text.rstrip().rstrip(",") + "]}")["events"]
    asked = (event.get("params", {}) for event in events)
    return {
        request["url"]
        for request in asked
        if request.get("url") and request.get("initiator", "not an origin") != "not an origin"
    }


def test_no_request_leaves_the_machine(opened: Path) -> None:
    log = opened.with_name("network.json")
    browse(opened, f"--log-net-log={log}", "--net-log-capture-mode=Everything", "--dump-dom")
    assert log.stat().st_size > 0
    assert not {url for url in requested(log) if re.match(r"(https?|wss?|ftp):", url)}


def test_the_log_would_show_a_request(opened: Path) -> None:
    """Shows that the test above can fail."""
    leaking = opened.with_name("leaking.html")
    leaking.write_text('<img src="http://example.com/pixel.png">')
    log = leaking.with_name("leaking.json")
    browse(leaking, f"--log-net-log={log}", "--dump-dom")
    assert "http://example.com/pixel.png" in requested(log)


def test_the_page_references_no_other_file(report: Path) -> None:
    text = report.read_text()
    assert re.findall(r"""<(?:script|img|link|iframe)[^>]+(?:src|href)=["'](?!data:)""", text) == []
    assert str(report.parent) not in text


def test_a_click_on_a_figure_shows_it_with_its_caption(opened: Path) -> None:
    picture = opened.with_name("screenshot.png")
    browse(opened, f"--screenshot={picture}")
    assert picture.stat().st_size > 20_000
    seen = browse(opened, "--dump-dom")
    page = seen[seen.index('id="app"') :]
    assert '<img src="data:image/png' in page
    assert "an arrow from each start of RL" in page


def test_every_item_has_a_caption_of_full_sentences(report: Path) -> None:
    text = report.read_text()
    start = re.search(r'<script id="results">\s*var results = ', text)
    assert start is not None
    results, _ = json.JSONDecoder().raw_decode(text[start.end() :])
    assert {Path(path).suffix for path in results} == {".png", ".html"}
    for path, item in results.items():
        caption = re.sub(r"<[^>]+>|\s+", " ", item["caption"])
        assert caption.count(". ") >= 2, path
        assert "{" not in caption, path
        assert "system-message" not in item["caption"], path
