"""The web page in a real browser: upload, paste, doubt marks, errors, downloads, dark mode, Korean, phone."""

import io
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from ocrformer import VIEWS, DecodeOptions, OCRformer, attention_pictures
from tests.conftest import writing_bundle
from tests.serving import serving

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium installed")
STRONGEST = """canvas => Math.max(...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
    .filter((_, index) => index % 4 === 3))"""
"""Opacity of the hottest place of a heat map."""
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def picture(text="Total 14.35", size=(240, 36)):
    image = Image.new("L", size, 255)
    ImageDraw.Draw(image).text((6, 10), text, fill=0)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"name": "줄 1.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


@pytest.fixture(scope="module")
def url(model, tmp_path_factory):
    with serving(model, tmp_path_factory.mktemp("page")) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser, url):
    context = browser.new_context(locale="en-GB", accept_downloads=True)
    opened = context.new_page()
    problems = []
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    outside = []
    opened.on("request", lambda request: outside.append(request.url) if not _local(request.url, url) else None)
    opened.goto(url)
    yield opened
    context.close()
    assert not outside, "the page asked for outside assets"
    assert not problems


def _local(address, url):
    return address.startswith((url, "blob:", "data:"))


def shot(page, name):
    """Keep a screenshot for people to look at, if they ask for one."""
    folder = os.environ.get("OCRFORMER_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def upload(page, *pictures):
    page.set_input_files("#files", list(pictures))
    page.wait_for_selector("#results li:nth-child(1)")


def test_upload_shows_picture_text_and_doubt(page):
    shot(page, "empty")
    upload(page, picture(), picture("second line"))
    assert page.locator("#results li").count() == 2
    assert page.locator("#results img").first.evaluate("image => image.complete && image.naturalWidth") == 240
    assert page.locator(".text mark").count() > 0  # a random network doubts
    assert "2 images read" in page.locator("#state").inner_text()
    shot(page, "results")


@pytest.fixture
def quiet_page(browser, url):
    """Without the check for console errors: a refused request logs one."""
    context = browser.new_context(locale="en-GB", accept_downloads=True)
    yield context.new_page()
    context.close()


def test_broken_image_shows_its_sentence(quiet_page, url):
    quiet_page.goto(url)
    upload(quiet_page, {"name": "broken.png", "mimeType": "image/png", "buffer": b"\x89PNG nothing"})
    assert "damaged or truncated" in quiet_page.locator(".text").inner_text()
    assert quiet_page.locator(".facts .doubt").inner_text() == "not read"
    shot(quiet_page, "broken")


def test_paste(page):
    data = list(picture()["buffer"])
    page.evaluate(
        """data => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(data)], "pasted.png", { type: "image/png" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
        }""",
        data,
    )
    page.wait_for_selector("#results li")
    assert "pasted.png" in page.locator(".name").inner_text()


def test_drop(page):
    data = list(picture()["buffer"])
    page.evaluate(
        """data => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(data)], "dropped.png", { type: "image/png" }));
            document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
        }""",
        data,
    )
    page.wait_for_selector("#results li")
    assert "dropped.png" in page.locator(".name").inner_text()


def test_folders_are_passed_over_and_said_so(quiet_page, url, tmp_path):
    """As the browser's own drag and drop hands them in: synthetic events know no folders."""
    quiet_page.goto(url)
    (tmp_path / "folder").mkdir()
    (tmp_path / "line.png").write_bytes(picture()["buffer"])
    files = [str(tmp_path / name) for name in ("folder", "line.png")]
    session = quiet_page.context.new_cdp_session(quiet_page)
    for kind in ("dragEnter", "dragOver", "drop"):
        data = {"items": [], "files": files, "dragOperationsMask": 1}
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 400, "y": 150, "data": data})
    quiet_page.wait_for_selector("#state:has-text('1 folder passed over')")
    assert quiet_page.locator(".name").all_inner_texts() == ["line.png"]
    assert "1 image read" in quiet_page.locator("#state").inner_text()


def test_many_files_are_sent_in_portions_and_keep_their_order(page):
    names = [f"{number}.png" for number in range(150)]
    page.set_input_files("#files", [picture() | {"name": name} for name in names])
    page.wait_for_selector("#state:has-text('150 images read')", timeout=120_000)
    assert page.locator("#results .name").all_inner_texts() == names


def test_what_got_no_answer_is_sent_again(quiet_page, url):
    quiet_page.goto(url)
    quiet_page.route("**/read", lambda route: route.abort())
    quiet_page.set_input_files("#files", [picture()])
    quiet_page.wait_for_selector("#state:has-text('cannot be reached')")
    quiet_page.unroute("**/read")
    quiet_page.click("#again")
    quiet_page.wait_for_selector("#results li")
    assert quiet_page.locator("#again").is_hidden()


def test_uploads_at_the_same_time_are_all_kept(quiet_page, url):
    quiet_page.goto(url)
    held = []
    quiet_page.route("**/read", lambda route: held.append(route) if not held else route.continue_())
    for name in ("slow.png", "quick.png"):
        quiet_page.set_input_files("#files", [picture() | {"name": name}])
    quiet_page.wait_for_selector("#results .name:text-is('quick.png')")
    held[0].continue_()
    quiet_page.wait_for_selector("#results .name:text-is('slow.png')")
    with quiet_page.expect_download() as caught:
        quiet_page.click("#json")
    records = json.loads(Path(caught.value.path()).read_text("utf-8"))
    assert [record["file"] for record in records] == ["slow.png", "quick.png"]


def test_what_waits_can_be_sent_after_something_else_was(quiet_page, url):
    quiet_page.goto(url)
    quiet_page.route("**/read", lambda route: route.abort())
    quiet_page.set_input_files("#files", [picture() | {"name": "first.png"}])
    quiet_page.wait_for_selector("#again:visible")
    quiet_page.unroute("**/read")
    upload(quiet_page, picture() | {"name": "second.png"})
    quiet_page.click("#again")
    quiet_page.wait_for_selector("#results .name:text-is('first.png')")


def test_what_cannot_be_read_is_counted_and_shown_without_a_picture(quiet_page, url):
    quiet_page.goto(url)
    refusal = {"error": {"code": "body_too_large", "message": "the body is larger than 9 bytes"}}
    quiet_page.route("**/read", lambda route: route.fulfill(status=413, json=refusal))
    quiet_page.set_input_files("#files", [picture() | {"name": "large.tif", "buffer": b"II*\0"}])
    quiet_page.wait_for_selector("#state:has-text('0 images read')")
    assert "1 not read" in quiet_page.locator("#state").inner_text()
    assert "larger than 9 bytes" in quiet_page.locator(".text").inner_text()
    quiet_page.wait_for_selector(".frame:has-text('No preview')")


def test_clearing_ends_what_is_being_read(quiet_page, url):
    quiet_page.goto(url)
    upload(quiet_page, picture())
    quiet_page.route("**/read", lambda *_: None)  # never answered
    quiet_page.set_input_files("#files", [picture()])
    quiet_page.wait_for_selector("#state:has-text('Reading')")
    quiet_page.click("#clear")
    quiet_page.wait_for_timeout(300)
    assert quiet_page.locator("#results li").count() == 0 and quiet_page.locator("#state").inner_text() == ""


def test_downloads_and_clearing(page):
    upload(page, picture())
    with page.expect_download() as caught:
        page.click("#json")
    (record,) = json.loads(Path(caught.value.path()).read_text("utf-8"))
    assert record["file"] == "줄 1.png"
    with page.expect_download() as caught:
        page.click("#csv")
    header = "\ufeff" + ",".join(f'"{name}"' for name in ("file", "text", "confidence", "status", "reason", "error"))
    assert Path(caught.value.path()).read_text("utf-8").startswith(header)
    page.click("#clear")
    assert page.locator("#results li").count() == 0
    assert page.locator("#tools").is_hidden()


@pytest.mark.parametrize(
    ("text", "cell"), [("=1+1", "'=1+1"), ("-2+3", "'-2+3"), ("-14.35", "-14.35"), ("a = b", "a = b"), ("@me", "'@me")]
)
def test_spreadsheets_compute_nothing_that_was_read(page, text, cell):
    """A formula in a picture is text."""
    image = {"file": "a.png", "text": text, "confidence": 1.0, "status": "ok", "milliseconds": 1.0}
    letters = [{"text": letter, "confidence": 1.0, "box": None} for letter in text]
    answer = {"images": [{**image, "characters": letters}], "model": "x", "request_id": "1"}
    page.route("**/read", lambda route: route.fulfill(json=answer))
    page.set_input_files("#files", [picture()])
    page.wait_for_selector("#results li .text")
    with page.expect_download() as caught:
        page.click("#csv")
    assert f',"{cell}",' in Path(caught.value.path()).read_text("utf-8")


def test_hovering_a_character_shows_its_place(page):
    upload(page, picture())
    page.get_by_role("button", name="Where did it look?").click()
    page.wait_for_selector(".letter")
    page.hover(".letter:nth-child(3)")
    assert page.locator(".frame canvas").evaluate(STRONGEST) == 190
    assert page.locator(".text mark.letter").count() > 0  # doubts are still marked
    assert page.locator(".frame img").get_attribute("src").startswith("data:")  # as the network saw it
    shot(page, "attention")
    page.focus(".letter:nth-child(1)")
    page.keyboard.press("ArrowRight")
    assert page.locator(".letter:nth-child(2)").evaluate("letter => letter === document.activeElement")
    assert page.locator(".letter[tabindex='0']").count() == 1  # one stop for Tab


def test_long_lines_scroll_on_a_phone(browser, url):
    phone = browser.new_page(viewport={"width": 360, "height": 700})
    phone.goto(url)
    upload(phone, picture("Total 14.35 and more, a long line", (460, 36)))
    shown = phone.locator("#results img")
    assert shown.bounding_box()["height"] > 27.5
    phone.get_by_role("button", name="Where did it look?").click()
    phone.wait_for_selector(".letter")
    phone.wait_for_function("document.querySelector('#results img').clientHeight >= 27")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    phone.locator(".letter").last.focus()
    assert phone.locator(".frame").evaluate("frame => frame.scrollLeft") > 0
    shot(phone, "phone-attention")
    phone.close()


@pytest.mark.parametrize("view", VIEWS)
def test_the_page_that_attend_writes_shows_it_too(browser, tmp_path, view):
    written = OCRformer(writing_bundle()).attend(picture()["buffer"], DecodeOptions(mode="ctc"))
    (tmp_path / "attention.html").write_text(attention_pictures.page(written), "utf-8")
    opened = browser.new_page()
    problems = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(f"file://{tmp_path}/attention.html")
    opened.select_option("#view", view if view != "characters" else "own")
    buttons = opened.locator("#text button")
    buttons.nth(1).hover()
    if view == "characters":
        assert "rgba" in buttons.first.get_attribute("style")
    else:
        assert opened.locator("#heat").evaluate(STRONGEST) == 190
    assert not problems
    opened.close()


def test_looking_can_be_tried_again(quiet_page, url):
    quiet_page.goto(url)
    upload(quiet_page, picture())
    button = quiet_page.get_by_role("button", name="Where did it look?")
    refusal = {"error": {"code": "busy", "message": "busy, try again in 1 s"}}
    quiet_page.route("**/attention", lambda route: route.fulfill(status=429, json=refusal))
    button.click()
    quiet_page.wait_for_selector(".facts [role=alert]:has-text('busy')")
    assert button.evaluate("button => button === document.activeElement")
    quiet_page.unroute("**/attention")
    quiet_page.route("**/attention", lambda route: route.abort())
    button.click()
    quiet_page.wait_for_selector(".facts [role=alert]:has-text('cannot be reached')")
    quiet_page.unroute("**/attention")
    button.click()
    quiet_page.wait_for_selector(".letter")
    assert quiet_page.get_by_role("alert").count() == 0


def test_keyboard_reaches_everything(page):
    upload(page, picture())
    seen = []
    for _ in range(9):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"files", "copy", "json", "csv", "clear"} <= set(seen)
    page.focus("#copy")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#copy")).to_have_text("Copied")


def test_labels_for_screen_readers(page):
    upload(page, picture())
    assert page.get_by_role("status").count() == 1
    assert page.get_by_role("button", name="Copy all text").is_visible()
    assert page.get_by_label("Drop, paste or choose images").count() == 1
    assert page.locator("#results img").first.get_attribute("alt").startswith("Picture of the line")
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(browser, url, scheme):
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(url)
    upload(page, picture())
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, background.removeprefix("rgb(").removesuffix(")").split(",")))
    assert (brightness > 600) == (scheme == "light")
    shot(page, scheme)
    context.close()


def test_korean_on_a_phone(browser, url):
    context = browser.new_context(locale="ko-KR", viewport={"width": 360, "height": 740}, is_mobile=True)
    page = context.new_page()
    page.goto(url)
    upload(page, picture())
    assert page.locator("html").get_attribute("lang") == "ko"
    assert "이미지 1개를" in page.locator("#state").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    shot(page, "phone-ko")
    context.close()


def test_api_key_is_asked_for(quiet_page, model, tmp_path):
    with serving(model, tmp_path, api_key="geheim") as address:
        quiet_page.goto(address)
        for name in ("a.png", "b.png"):
            with quiet_page.expect_response("**/read") as refused:
                quiet_page.set_input_files("#files", [picture() | {"name": name}])
            refused.value.finished()
            quiet_page.wait_for_selector("#key:visible")
        shot(quiet_page, "key")
        for wrong in ("falsch", "한"):
            quiet_page.fill("#key", wrong)
            quiet_page.press("#key", "Enter")
            quiet_page.wait_for_selector("#state:has-text('not the server')")
        quiet_page.fill("#key", "geheim")
        quiet_page.press("#key", "Enter")
        quiet_page.wait_for_selector("#results li")
        quiet_page.wait_for_load_state("networkidle")
        assert quiet_page.locator("#results .name").all_inner_texts() == ["a.png", "b.png"]


def test_newest_first_and_each_upload_in_its_order(page):
    for names in (("a.png", "b.png"), ("c.png", "d.png")):
        page.set_input_files("#files", [picture() | {"name": name} for name in names])
        page.wait_for_selector(f"#results .name:text-is('{names[-1]}')")
    assert page.locator("#results .name").all_inner_texts() == ["c.png", "d.png", "a.png", "b.png"]
    with page.expect_download() as caught:
        page.click("#json")
    records = json.loads(Path(caught.value.path()).read_text("utf-8"))
    assert [record["file"] for record in records] == ["c.png", "d.png", "a.png", "b.png"]


def test_documentation_page_works_offline(page, url):
    page.goto(f"{url}/docs")
    page.wait_for_selector(".opblock-summary-path")
    assert "/read" in page.locator(".opblock-summary-path").first.inner_text()
    shot(page, "docs")
