"""Notebook 08 in JupyterLab in a real browser: every cell runs, and each explorer works with keys and a mouse.

Three cells are added: the landscape explorer of notebook 04, an explorer whose rule fails, and a cell that fails. The
checks for errors have to find these two, and no other.

`make test-browser` runs it; screenshots go to runs/browser. It needs a Chromium on the PATH, or the environment
variable MMDG_LITE_CHROMIUM with the path of one, and the packages of the extra `browser`.
"""

import nbformat
import pytest

from tests.support.lab import ERRORS, ROOT, SCREEN, chromium, executed_page, explorer_cell, handle, jupyter_lab

SCREENSHOTS = ROOT / "runs" / "browser"
NOTEBOOK = "08_modality_balance.ipynb"
EXPLORERS = {  # words in the picture's alternative text, and the name of the slider that is moved
    "balance": ("A face (", "depth holes, share of area"),
    "imbalance": ("Training of three branches", "RGB size of features, times"),
    "training": ("fastest in", "mean over, logged steps"),
    "regrad": ("Gradients of a parameter", "RGB angle, degrees"),
    "landscape": ("A parameter of the", "RGB steepness"),
}
ADDED = (
    "mmdg_lite.explore_landscape()",
    "mmdg_lite.explore_regrad(project=lambda gradient, base: 1 / 0)",
    'raise RuntimeError("on purpose")',  # last: it stops the cells below it
)
AREA = 768 - 130  # pixels that menus, tabs and the status bar leave

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(60 * 40),
    pytest.mark.skipif(
        chromium() is None,
        reason="no browser: install Chromium on the PATH, or set MMDG_LITE_CHROMIUM to one",
    ),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The notebook and the added cells, executed."""
    playwright = pytest.importorskip("playwright.sync_api", reason='pip install "mmdg_lite[browser]"')
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    book = nbformat.read(ROOT / "notebooks" / NOTEBOOK, as_version=4)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.source = cell.source.replace("(64, 50)", "(16, 5)")  # fewer faces: the explorers are tested here
    book.cells += [nbformat.v4.new_code_cell(source) for source in ADDED]
    home = tmp_path_factory.mktemp("lab")
    with (
        jupyter_lab(book, home / "server") as address,
        playwright.sync_playwright() as driver,
        executed_page(driver, address, home / "profile") as shown,
    ):
        shown.screenshot(path=SCREENSHOTS / "executed.png")
        yield shown


def test_all_cells_ran_and_the_only_errors_are_those_on_purpose(page):
    errors = page.locator(ERRORS).all_inner_texts()
    assert len(errors) == 1 and "on purpose" in errors[0], errors
    alerts = page.locator('.widget-html [role="alert"]').all_inner_texts()
    assert len(alerts) == 1 and "ZeroDivisionError" in alerts[0], alerts
    assert "findings in 08_findings.json" in page.locator(".jp-CodeCell").nth(-1 - len(ADDED)).inner_text()


@pytest.mark.parametrize("name", EXPLORERS)
def test_a_moved_slider_changes_a_picture_that_is_whole_on_a_small_screen(page, name):
    words, label = EXPLORERS[name]
    cell = explorer_cell(page, words)
    picture = cell.locator(f'.widget-html img[alt*="{words}"]')
    assert picture.count() == 1
    box = cell.locator(".mmdg-explorer").bounding_box()
    assert box["height"] <= AREA and box["x"] + box["width"] <= SCREEN["width"]
    cell.locator(".mmdg-explorer").scroll_into_view_if_needed()
    cell.locator(".mmdg-explorer").screenshot(path=SCREENSHOTS / f"{name}_before.png")
    before, knob = picture.get_attribute("src"), handle(cell, label)
    value = knob.get_attribute("aria-valuetext")
    knob.focus()
    for _ in range(5):
        knob.press("ArrowRight")
    page.wait_for_function(
        "([words, before]) => { const found = document.querySelector(`.widget-html img[alt*='${words}']`);"
        " return found && found.src !== before; }",
        arg=[words, before],
    )
    page.wait_for_timeout(3000)  # the last of the five moves is drawn too
    cell.locator(".mmdg-explorer").screenshot(path=SCREENSHOTS / f"{name}_after.png")
    assert knob.get_attribute("aria-valuetext") != value
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 300
    assert picture.get_attribute("src").startswith("data:image/svg+xml")
    assert cell.locator('[title="null"]').count() == 0
    for knob in cell.get_by_role("slider").all():
        assert knob.get_attribute("aria-label")
    static = cell.locator(".jp-OutputArea-child .jp-RenderedImage")
    assert static.count() == 1 and not static.is_visible()
    assert page.locator(ERRORS).count() == 1


def test_a_question_waits_for_a_prediction(page):
    cell = explorer_cell(page, "Gradients of a parameter")
    cell.get_by_role("combobox").nth(1).select_option("91 degrees")
    page.wait_for_selector('.widget-html img[alt*="hidden until you look"]')
    explorer_cell(page, "hidden until you look").get_by_role("button", name="look", exact=True).click()
    page.wait_for_selector('.widget-html img[alt*="Gradients of a parameter"]')
    assert "Nearly all" in explorer_cell(page, "Gradients of a parameter").inner_text()
