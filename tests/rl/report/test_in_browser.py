"""The page in a real browser: the group browser clicks, nothing is asked of any network, both color
schemes, a narrow screen, and a completion that attacks the page."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from time import monotonic, sleep

import pytest
from PIL import Image

from rl.report.page import report
from rl.report.run import read_reported
from tests.browser import Page, browser_path, open_browser
from tests.rl.report.reported import HOSTILE, write_trained

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser_path() is None, reason="no Chromium is installed"),
]

SHOWN = "[...document.querySelectorAll('.group')].filter(g => g.offsetParent !== null)"
FIRST_WORDS = f"{SHOWN}.map(g => g.querySelector('summary').textContent)"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a run whose completions attack it."""
    folder = tmp_path_factory.mktemp("report")
    write_trained(folder / "run", texts=(HOSTILE, "unbroken" * 90))
    file = folder / "report.html"
    file.write_text(report([read_reported(folder / "run", "run")]).html, encoding="utf-8")
    with open_browser(folder) as page:
        page.open(file)
        yield page


@pytest.fixture
def page(opened: Page) -> Page:
    """The page as it was opened, wide and light."""
    opened.size(1200, 900)
    opened.scheme("light")
    opened.call("Page.reload")
    end = monotonic() + 30
    while not opened.evaluate(
        "document.readyState === 'complete' && !!document.querySelector('main')"
    ):
        assert monotonic() < end
        sleep(0.05)
    return opened


def test_the_verdict_is_seen_without_scrolling(page: Page) -> None:
    assert page.evaluate("document.querySelector('h1').textContent").startswith("Shorter")
    assert page.evaluate("document.querySelector('.evidence').getBoundingClientRect().bottom") < 900


def test_one_group_is_shown_and_the_buttons_go_round(page: Page) -> None:
    assert page.evaluate(FIRST_WORDS) == [
        "1. held-out, answered better after training: 3 of 4 right"
    ]
    page.click(".on")
    assert page.evaluate(FIRST_WORDS)[0].startswith("2. held-out, shortened most")
    page.click(".back")
    page.click(".back")
    assert page.evaluate(FIRST_WORDS) == ["6. training, step 3: 1 of 2 right"]
    assert page.evaluate("document.querySelector('output').textContent") == "6 of 6"


def test_a_group_is_chosen_by_name(page: Page) -> None:
    page.evaluate(
        "(() => { const s = document.querySelector('select'); s.value = '2';"
        "s.dispatchEvent(new Event('change')); })()"
    )
    assert page.evaluate(FIRST_WORDS) == ["3. training, step 1: 1 of 2 right"]
    cards = f"{SHOWN}[0].querySelectorAll('.card')"
    assert page.evaluate(f"{cards}.length") == 2
    texts = page.evaluate(f"[...{cards}].map(c => c.querySelector('dl').innerText.split('\\n'))")
    minus = "\N{MINUS SIGN}"
    rewards = ["reward", "0.750", "correct", "1.000", "length", f"{minus}0.250"]
    assert texts[0] == ["advantage", "+1.000", *rewards]


def test_groups_that_are_all_right_are_left_out_on_demand(page: Page) -> None:
    page.click(".mixed input")
    page.click(".on")
    assert page.evaluate("document.querySelector('output').textContent") == "2 of 5"
    for _ in range(5):
        page.click(".on")
        assert "4 of 4 right" not in page.evaluate(FIRST_WORDS)[0]


def test_a_completion_that_attacks_the_page_is_only_read(page: Page) -> None:
    assert page.evaluate("document.title") == "run - Laconic report"
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    assert page.evaluate("document.body.textContent").count("document.title='owned'") >= 4


def test_the_policy_stops_a_script_and_a_request_that_got_into_the_page(page: Page) -> None:
    page.evaluate(
        "(() => { const s = document.createElement('script');"
        "s.textContent = \"document.title = 'owned'\"; document.body.append(s);"
        "const i = new Image(); i.src = 'https://example.org/x.png'; document.body.append(i); })()"
    )
    sleep(0.3)
    assert page.evaluate("document.title") == "run - Laconic report"
    assert any("Content Security Policy" in text for text in page.complaints)


def test_nothing_but_the_file_is_asked_for(page: Page) -> None:
    page.loads.clear()
    page.complaints.clear()
    page.call("Page.reload")
    sleep(0.5)
    for selector in (".on", ".back", "details > summary"):
        page.click(selector)
    assert {address.partition(":")[0] for address in page.loads} == {"file"}
    assert page.complaints == []


def test_a_table_is_saved_as_csv(page: Page, opened: Page) -> None:
    page.click("a[download='metrics-run.csv']")
    profile = Path(page.evaluate("location.pathname")).parent
    file, end = profile / "downloads" / "metrics-run.csv", monotonic() + 20
    while not file.is_file():
        assert monotonic() < end
        sleep(0.05)
    assert file.read_text().startswith("step,loss,entropy,accuracy")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_readers_color_scheme(page: Page, scheme: str) -> None:
    page.scheme(scheme)
    image = Image.open(BytesIO(page.picture())).convert("L")
    assert (image.resize((1, 1)).getpixel((0, 0)) > 128) == (scheme == "light")


@pytest.mark.parametrize("width", [390, 768, 1200])
def test_no_screen_scrolls_sideways(page: Page, width: int) -> None:
    page.size(width, 800)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_every_group_can_be_opened(page: Page) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.call("Page.reload")
        sleep(0.5)
        assert page.evaluate("document.querySelector('.steer').offsetParent === null")
        assert page.evaluate(f"{SHOWN}.length") == 6
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)
