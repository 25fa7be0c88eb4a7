"""Notebook 08 in JupyterLab in a real browser: every cell runs, and a slider of each explorer changes its picture.

`make test-browser` runs it; screenshots go to runs/browser. It needs a Chromium on the PATH, or the environment
variable MMDG_LITE_CHROMIUM with the path of one, and the packages of the extra `browser`.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "runs" / "browser"
NOTEBOOK = "08_modality_balance.ipynb"
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MINUTES = 25  # at most, for all cells: one on an idle core, many on a busy machine
# explorer: words in its picture's alternative text, and the slider that is moved
EXPLORERS = {
    "balance": ("A face (", "depth holes"),
    "training": ("fastest in RGB", "mean over logged steps"),
    "regrad": ("Gradients of a parameter", "RGB angle"),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # else cells out of sight are not in the page
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


def chromium() -> str | None:
    """Path of a browser, or None."""
    return os.environ.get("MMDG_LITE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(60 * 40),
    pytest.mark.skipif(
        chromium() is None,
        reason=f"no browser: install Chromium ({', '.join(NAMES)} on the PATH), or set MMDG_LITE_CHROMIUM to one",
    ),
]


def code_cells(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[str]:
    """Address of notebook 08, token included, on a JupyterLab of its own."""
    home = tmp_path_factory.mktemp("lab")
    (home / "notebooks").mkdir()
    book = nbformat.read(ROOT / "notebooks" / NOTEBOOK, as_version=4)
    for cell in code_cells(book):
        cell.outputs, cell.execution_count = [], None
    nbformat.write(book, home / "notebooks" / NOTEBOOK)
    shutil.copytree(ROOT / "figures" / "scores", home / "figures" / "scores")
    for name, values in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    port, token = free_port(), secrets.token_hex(16)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_TOKEN": token,
    }
    options = [f"--ServerApp.root_dir={home}", f"--port={port}", "--ip=127.0.0.1", "--no-browser"]
    options += ["--ServerApp.port_retries=0", *(["--allow-root"] if os.geteuid() == 0 else [])]
    with open(home / "log.txt", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log, cwd=home
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", server, home / "log.txt")
        yield f"http://127.0.0.1:{port}/lab/tree/notebooks/{NOTEBOOK}?token={token}"
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(240):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def page(lab, tmp_path_factory) -> Iterator[Any]:
    """The notebook in a browser of its own, all cells run."""
    playwright = pytest.importorskip("playwright.sync_api", reason='pip install "mmdg_lite[browser]"')
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")),
            executable_path=chromium(),
            headless=True,
            args=FLAGS,
            viewport={"width": 1400, "height": 1100},
        )
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto(lab)
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.wait_for_function(
            "() => /Idle/i.test(document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status)"
        )
        run_all_cells(page)
        page.wait_for_function(
            "() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
            ".every(p => /\\[\\d+\\]/.test(p.textContent))",
            timeout=MINUTES * 60_000,
            polling=1000,  # milliseconds
        )
        page.screenshot(path=SCREENSHOTS / "executed.png")
        yield page
        browser.close()


def run_all_cells(page: Any) -> None:
    """By the menu; again where a menu that was just being made took no notice of the click."""
    for _ in range(5):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.wait_for_timeout(2000)
        page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
        page.wait_for_timeout(5000)
        if any(prompt.strip("[]: ") for prompt in page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()):
            return
    page.screenshot(path=SCREENSHOTS / "not_started.png")
    pytest.fail(f"the cells did not start to run: see {SCREENSHOTS / 'not_started.png'}")


def test_all_cells_ran_without_errors(page):
    cells = page.locator(".jp-CodeCell")
    assert cells.count() == len(code_cells(nbformat.read(ROOT / "notebooks" / NOTEBOOK, as_version=4)))
    errors = page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]')
    assert errors.all_inner_texts() == []
    assert "findings in 08_findings.json" in cells.last.inner_text()


@pytest.mark.parametrize("name", EXPLORERS)
def test_moving_a_slider_changes_the_picture(page, name):
    words, label = EXPLORERS[name]
    picture = page.locator(f'.jp-OutputArea-output .widget-html img[alt*="{words}"]')
    assert picture.count() == 1
    cell = page.locator(".jp-CodeCell", has=picture)
    slider = cell.locator(".widget-slider", has=page.locator(".widget-label", has_text=label))
    handle = slider.locator(".noUi-handle")
    picture.scroll_into_view_if_needed()
    cell.screenshot(path=SCREENSHOTS / f"{name}_before.png")
    before, readout = picture.get_attribute("src"), slider.locator(".widget-readout").inner_text()
    handle.focus()
    for _ in range(5):
        handle.press("ArrowRight")
    page.wait_for_function(
        "([words, before]) => { const found = document.querySelector(`.widget-html img[alt*='${words}']`);"
        " return found && found.src !== before; }",
        arg=[words, before],
    )
    page.wait_for_timeout(2000)  # the last of the five moves is drawn too
    cell.screenshot(path=SCREENSHOTS / f"{name}_after.png")
    assert slider.locator(".widget-readout").inner_text() != readout
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 300
    assert page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').count() == 0
