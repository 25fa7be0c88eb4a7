"""A JupyterLab of its own with one notebook, and a Chromium that shows it with all cells run."""

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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).parents[2]
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
SETTINGS: dict[str, dict[str, Any]] = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # else cells out of sight are not in the page
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
SCREEN = {"width": 1366, "height": 768}
ERRORS = ", ".join(
    f'.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ("error", "stderr")
)
"""Where JupyterLab shows tracebacks: as stderr in version 4.6, as errors before."""


def chromium() -> str | None:
    """Path of a browser, or None."""
    return os.environ.get("MMDG_LITE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def jupyter_lab(book: nbformat.NotebookNode, home: Path) -> Iterator[str]:
    """Address of the notebook, token included, on a server that works in the folder `home`."""
    (home / "notebooks").mkdir(parents=True)
    nbformat.write(book, home / "notebooks" / "shown.ipynb")
    for name, values in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    port, token = _free_port(), secrets.token_hex(16)
    folders = {name: str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment = os.environ | {f"JUPYTER_{name}_DIR": folder for name, folder in folders.items()}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_TOKEN": token,
    }
    options = [f"--ServerApp.root_dir={home}", f"--port={port}", "--ip=127.0.0.1", "--no-browser"]
    options += ["--ServerApp.port_retries=0", *(["--allow-root"] if os.geteuid() == 0 else [])]
    command = [sys.executable, "-m", "jupyterlab", *options]
    with open(home / "log.txt", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=home)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", server, home / "log.txt")
        yield f"http://127.0.0.1:{port}/lab/tree/notebooks/shown.ipynb?token={token}"
    finally:
        server.terminate()
        server.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(240):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@contextmanager
def executed_page(driver: Any, address: str, profile: Path) -> Iterator[Any]:
    """The notebook in a browser of its own, all cells run or stopped at an error."""
    browser = driver.chromium.launch_persistent_context(
        str(profile), executable_path=chromium(), headless=True, args=FLAGS, viewport=SCREEN
    )
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(address)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.wait_for_function(
        "() => /Idle/i.test(document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status)"
    )
    _run_all_cells(page)
    try:
        yield page
    finally:
        browser.close()


def _run_all_cells(page: Any) -> None:
    """By the menu, until every cell has a number; again where cells rest without one.

    A menu that is just being made takes no notice of a click, and a kernel that is replaced while the page opens drops
    the cells that wait for it. A server that is slow to list its kernels makes JupyterLab ask for one.
    """
    until = time.monotonic() + 60 * MINUTES
    while time.monotonic() < until:
        if (dialog := page.locator(".jp-Dialog")).count():
            asked = dialog.first.inner_text()
            if "Select Kernel" not in asked:
                raise RuntimeError(f"JupyterLab asks: {asked}")
            dialog.first.locator("button.jp-mod-accept").click()  # Python 3 is chosen already
            page.wait_for_timeout(5000)
        prompts = [prompt.strip("[]: ") for prompt in page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()]
        if all(prompt.isdigit() for prompt in prompts):
            return
        if "*" not in prompts:
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.wait_for_timeout(2000)
            page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
        page.wait_for_timeout(5000)
    raise RuntimeError(f"the cells did not end within {MINUTES} minutes")


def explorer_cell(page: Any, words: str) -> Any:
    """The cell of the explorer whose live picture's alternative text contains these words."""
    return page.locator(".jp-CodeCell", has=page.locator(f'.widget-html img[alt*="{words}"]'))


def handle(cell: Any, label: str) -> Any:
    """The handle of the slider that has this accessible name."""
    return cell.get_by_role("slider", name=label, exact=True)
