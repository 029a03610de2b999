"""The page as a person uses it, in a real browser without a window.

``make screenshots`` keeps the images that are taken here in ``docs/images``.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.run.tables import read_csv
from tests.app.browsing import (
    add_class,
    answered,
    answers,
    card,
    chosen,
    download,
    drop,
    holds,
    seen,
    shades,
    until,
)
from tests.data.layouts import pack, png
from tests.extras import needs_browser

if TYPE_CHECKING:
    from playwright.sync_api import APIResponse, Page, Route

pytestmark = needs_browser


@pytest.mark.slow
def test_teach_an_example(visit, keep):
    page = visit()
    page.get_by_role("button", name="Example: photos").click()
    seen(page.get_by_text("Adapted to 6 classes and 24 images"))
    given = answers(page, 7)
    assert [caption.split()[0] for caption in given[:-1]] == ["cat", "coin", "flower", "roof", "trees", "wood"]
    keep(page, "teach", 960)
    page.get_by_role("button", name="Example: creatures").click()
    seen(page.get_by_text("Adapted to 5 classes and 20 images"))
    given = answers(page, 6)
    assert re.fullmatch(r"none of these \(\d+\.\d ×\)", given[-1])
    page.locator(".queries button[aria-pressed]").nth(5).click()
    seen(page.get_by_role("heading", name="None of these"))
    assert chosen(page) == [5]


def test_teach_own_images(visit, tmp_path):
    page = visit()
    red, green = shades(tmp_path, "red", (190, 40, 40), 5), shades(tmp_path, "green", (40, 150, 40), 5)
    add_class(page, "red", red[:3])
    seen(page.get_by_text("Add images to one more class"))
    add_class(page, "green", green[:4])
    seen(page.get_by_text("Adapted to 2 classes and 7 images"))
    drop(page.locator(".answers"), [red[4], green[4]])
    seen(page.locator(".queries img"), 2)
    page.get_by_role("spinbutton", name="None of these").fill("0")  # every image gets a class
    page.get_by_role("spinbutton", name="None of these").press("Enter")
    seen(page.locator(".queries .caption-label", has_text=re.compile("^green [0-9]+ %$")))

    name = card(page, "red").get_by_label("Name")
    name.fill("scarlet")
    name.press("Enter")
    seen(page.locator(".queries .caption-label", has_text=re.compile("^scarlet [0-9]+ %$")))
    card(page, "green").get_by_role("button", name="Remove green3.png").click()
    seen(page.get_by_text("Adapted to 2 classes and 6 images"))

    page.get_by_role("button", name="Load a classifier").click()
    archive = download(page, "Save classifier", tmp_path)
    network = download(page, "Export as ONNX", tmp_path)
    assert network.suffix == ".onnx"
    assert network.stat().st_size > 1_000_000
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path / "saved")
    classifier = FewShotClassifier.from_pretrained(tmp_path / "saved" / "classifier")
    assert classifier.predict([red[4], green[4]]).tolist() == ["scarlet", "green"]
    shares = classifier.predict_proba([red[4], green[4]]).max(axis=1)
    texts = [f"{name} {100 * share:.0f} %" for name, share in zip(("scarlet", "green"), shares, strict=True)]
    answered(page, texts)

    page.get_by_role("button", name="Start over").click()
    seen(page.locator(".card"), 0)
    seen(page.get_by_text("Give each class a name"))
    drop(page.locator(".drop", has_text="Drop a saved classifier"), [archive])
    seen(page.get_by_text("Adapted to 2 classes and 6 images"))
    drop(page.locator(".answers"), [red[4], green[4]])
    answered(page, texts)
    card(page, "green").get_by_role("button", name="Remove class").click()
    seen(page.get_by_text("Add images to one more class"))


@pytest.mark.slow
def test_the_query_that_is_shown_is_the_one_that_is_outlined(visit, tmp_path):
    page = visit()
    page.get_by_role("button", name="Example: letters").click()
    answers(page, 6)
    page.locator(".queries button[aria-pressed]").nth(2).click()
    heading = page.locator(".verdict h3")
    seen(heading.filter(has_text="letter C"))
    drop(card(page, "letter E"), shades(tmp_path, "more", (90, 90, 90), 1))
    seen(page.get_by_text("Adapted to 5 classes and 21 images"))
    assert chosen(page) == [2]
    assert "letter C" in heading.inner_text()

    page.get_by_role("button", name="Add to this class").click()
    seen(card(page, "letter C").locator(".image-list img"), 5)
    answers(page, 5)
    assert chosen(page) == [0]
    seen(heading.filter(has_text="letter A"))
    page.locator(".queries").get_by_role("button", name="Remove").nth(1).click()
    answers(page, 4)
    assert chosen(page) == [0]
    page.get_by_role("button", name="Undo").click()
    answers(page, 5)
    page.get_by_role("button", name="Undo").click()
    answers(page, 6)
    seen(card(page, "letter C").locator(".image-list img"), 4)
    page.get_by_role("button", name="Redo").click()
    answers(page, 5)


def test_names_are_text_everywhere(visit, tmp_path):
    page = visit()
    names = ["<none> ${1+1} {{value}}", "[x](javascript:alert(1)) http://a.example **b** $x$"]
    for name, color in zip(names, ((190, 40, 40), (40, 150, 40)), strict=True):
        add_class(page, name, shades(tmp_path, str(color[0]), color, 3))
    drop(page.locator(".answers"), shades(tmp_path, "some", (190, 40, 40), 1))
    for name in names:
        seen(page.locator(".verdict .bars .name").get_by_text(name, exact=True))
    assert page.locator("a[href*='a.example'], a[href*='javascript']").count() == 0


def test_numbers_are_taken_with_enter_and_stay_in_range(served, visit):
    page = visit()
    page.get_by_role("button", name="Example: creatures").click()
    assert answers(page, 6)[-1].startswith("none of these")
    share = page.get_by_role("spinbutton", name="None of these")
    for typed, shown in (("-1", "0"), ("5", "0.3"), ("0", "0")):
        share.fill(typed)
        share.press("Enter")
        holds(share, shown)
        unknown = page.locator(".queries .caption-label", has_text="none of these")
        seen(unknown, 0) if shown == "0" else seen(unknown)
    share.fill("")
    share.press("Enter")
    seen(page.get_by_test_id("toast-body").get_by_text("None of these: expected a number from 0 to 0.3"))
    assert "Traceback" not in "".join(served.lines)


@pytest.mark.slow
def test_nothing_is_replaced_unasked(visit):
    page = visit()
    page.get_by_role("button", name="Example: creatures").click()
    answers(page, 6)
    assert page.questions == []
    page.agrees = False
    for name in ("Example: letters", "Start over"):
        page.get_by_role("button", name=name).click()
        until(lambda: page.evaluate("true") and page.questions != [])
        question = page.questions.pop()
        assert question == f"{name} removes what is here: 5 classes, 20 images, 6 images to classify. Go on?"
    page.wait_for_timeout(1000)
    assert "creature A" in answers(page, 6)[0]
    page.agrees = True
    page.get_by_role("button", name="Start over").click()
    seen(page.locator(".card"), 0)
    page.get_by_role("button", name="Undo").click()
    seen(page.locator(".card"), 5)
    answers(page, 6)


@pytest.mark.slow
def test_loading_a_classifier_asks_first(visit, tmp_path):
    page = visit()
    page.get_by_role("button", name="Example: creatures").click()
    answers(page, 6)
    saved = download(page, "Save classifier", tmp_path)
    page.get_by_role("button", name="Load a classifier").click()
    zone = page.locator(".drop", has_text="Drop a saved classifier")
    page.agrees = False
    drop(zone, [saved])
    until(lambda: page.evaluate("true") and page.questions != [])
    question = page.questions.pop()
    assert (
        question == "Loading this classifier removes what is here: 5 classes, 20 images, 6 images to classify. Go on?"
    )
    page.wait_for_timeout(1000)
    answers(page, 6)
    page.agrees = True
    drop(zone, [saved])
    answers(page, 0)
    seen(page.locator(".card"), 5)
    seen(page.get_by_text("Adapted to 5 classes and 20 images"))


@pytest.mark.slow
def test_a_reload_asks_and_brings_everything_back(served, visit, tmp_path):
    page = visit()
    page.reload()  # there is nothing to lose
    page.get_by_role("tab", name="Teach").wait_for()
    assert page.questions == []
    page.get_by_role("button", name="Example: letters").click()
    before = answers(page, 6)
    page.locator(".queries button[aria-pressed]").nth(3).click()
    seen(page.locator(".verdict h3").filter(has_text="letter D"))
    page.reload()
    assert len(page.questions) == 1
    assert answers(page, 6) == before
    assert chosen(page) == [3]
    seen(page.locator(".card"), 5)
    drop(card(page, "letter A"), shades(tmp_path, "more", (90, 90, 90), 1))
    seen(page.get_by_text("Adapted to 5 classes and 21 images"))
    page.get_by_role("button", name="Undo").click()
    seen(page.get_by_text("Adapted to 5 classes and 20 images"))
    page.reload()
    assert answers(page, 6) == before


@pytest.mark.slow
def test_a_folder_is_classified_and_sorted(visit, tmp_path):
    page = visit()
    red, green = shades(tmp_path, "red", (190, 40, 40), 9), shades(tmp_path, "green", (40, 150, 40), 9)
    add_class(page, "red", red[:3])
    add_class(page, "green", green[:3])
    seen(page.get_by_text("Adapted to 2 classes and 6 images"))
    page.get_by_role("button", name="Classify and sort a folder").click()
    zone = page.locator(".drop", has_text="Drop a zip file of images here, or many images")
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    drop(zone, [*red[3:], *green[3:], broken])
    seen(page.get_by_text("12 images classified"))
    seen(page.get_by_test_id("toast-body").get_by_text("broken.png"))
    seen(page.locator(".virtual-row:visible"))
    rows = read_csv(download(page, "Download table (CSV)", tmp_path).read_text(encoding="utf-8"))
    assert [row["file"] for row in rows] == [path.name for path in (*red[3:], *green[3:])]
    with zipfile.ZipFile(download(page, "Download sorted images (zip)", tmp_path)) as archive:
        names = archive.namelist()
    assert sorted(name.split("/")[1] for name in names) == sorted(row["file"] for row in rows)
    assert {name.split("/")[0] for name in names} <= {"red", "green", "(none of these)"}


@pytest.mark.slow
def test_sorting_is_stopped(visit, tmp_path):
    page = visit()
    page.get_by_role("button", name="Example: letters").click()
    answers(page, 6)
    page.get_by_role("button", name="Classify and sort a folder").click()
    large = {f"{number}.png": png(Image.new("L", (1900, 1900), number)) for number in range(150)}
    drop(page.locator(".drop", has_text="Drop a zip file of images here"), [pack(tmp_path / "large.zip", large)])
    seen(page.get_by_text(re.compile(r"[1-9]\d* of 150 images")))
    page.get_by_role("button", name="Stop", exact=True).click()
    seen(page.get_by_text("Stopped", exact=True))
    page.wait_for_timeout(2000)
    assert page.get_by_text("of 150 images").count() == 0


@pytest.mark.slow
def test_uploads_say_how_far_they_came(visit, tmp_path):
    page = visit()
    page.get_by_placeholder("class name").fill("grey")
    page.get_by_role("button", name="Add class").click()
    seen(card(page, "grey"))
    large = []
    for number in range(40):
        large.append(tmp_path / f"{number}.png")
        Image.new("L", (1900, 1900), number).save(large[-1])
    drop(card(page, "grey"), large)
    seen(card(page, "grey").get_by_text(re.compile(r"\d+/40 images")))
    stop = page.get_by_role("button", name="Stop upload")
    stop.click()  # it is there only while something is read for some time
    seen(page.get_by_test_id("toast-body").get_by_text("because the upload was stopped"))
    seen(card(page, "grey").locator(".image-list img"))
    taken = card(page, "grey").locator(".image-list img").count()
    assert 0 < taken < 40
    seen(stop, 0)
    drop(card(page, "grey"), large[:3])
    seen(card(page, "grey").locator(".image-list img"), taken + 3)


@pytest.mark.slow
def test_an_upload_is_stopped_while_it_is_sent(visit, tmp_path):
    page = visit()
    page.get_by_placeholder("class name").fill("red")
    page.get_by_role("button", name="Add class").click()
    seen(card(page, "red"))
    red, held = shades(tmp_path, "red", (190, 40, 40), 3), []
    page.route("**/upload?*", lambda route: held.append(route))  # a slow line
    drop(card(page, "red"), red)
    stop = page.get_by_role("button", name="Stop upload")
    stop.click()
    seen(page.get_by_test_id("toast-body").get_by_text("the upload was stopped"))
    seen(stop, 0)
    page.unroute("**/upload?*")
    drop(card(page, "red"), red)
    seen(card(page, "red").locator(".image-list img"), 3)


@pytest.mark.slow
def test_more_is_dropped_while_the_first_is_taken_in(visit, tmp_path):
    page = visit()
    page.get_by_placeholder("class name").fill("red")
    page.get_by_role("button", name="Add class").click()
    seen(card(page, "red"))
    seen(page.get_by_text("Add images to two classes"))  # no other event is on its way
    red, zone = shades(tmp_path, "red", (190, 40, 40), 7), card(page, "red").locator(".drop")
    held: list[Route] = []  # what is on its way to the server
    page.route("**/queue/join*", lambda route: route.continue_() if held else held.append(route))
    drop(zone, red[:2])
    until(lambda: page.evaluate("true") and held != [])
    seen(zone.get_by_test_id("status-tracker").get_by_text(re.compile(r"[0-9.]+s")))  # it says that it is at work
    drop(zone, red[2:4])
    seen(card(page, "red").locator(".image-list img"), 2)
    held[0].continue_()
    seen(card(page, "red").locator(".image-list img"), 4)

    uploads: list[Route] = []
    page.route("**/upload?*", lambda route: uploads.append(route))
    drop(zone, red[4:])
    until(lambda: page.evaluate("true") and uploads != [])
    name = card(page, "red").get_by_label("Name")
    name.fill("scarlet")
    name.press("Enter")
    seen(card(page, "scarlet"))  # drawn anew under the files on their way
    uploads[0].continue_()
    seen(card(page, "scarlet").locator(".image-list img"), 7)


@pytest.mark.slow
def test_names_of_classes(served, visit):
    page = visit()
    name, add = page.get_by_placeholder("class name"), page.get_by_role("button", name="Add class")
    for word in ("one", "two", "three"):  # faster than the server
        name.fill(word)
        add.click()
        holds(name, "")
    fields = page.locator(".card").get_by_label("Name")
    seen(fields, 3)
    assert [fields.nth(place).input_value() for place in range(3)] == ["one", "two", "three"]

    fields.nth(1).fill("second")
    fields.nth(1).press("Enter")
    seen(page.get_by_text("Drop images of second here"))
    assert fields.nth(1).evaluate("field => field === document.activeElement")  # drawn anew, and the same
    fields.nth(1).fill("one")
    fields.nth(1).press("Enter")
    seen(page.get_by_test_id("toast-body").get_by_text("there is already a class"))
    holds(fields.nth(1), "second")

    held: list[Route] = []  # an event that is on its way for so long that its class is gone
    page.route("**/queue/join*", lambda route: route.continue_() if held else held.append(route))
    fields.nth(1).fill("late")
    with page.expect_request("**/queue/join*"):
        fields.nth(1).press("Enter")
    until(lambda: page.evaluate("true") and held != [])  # Playwright hears of it while it is asked something
    page.get_by_role("button", name="Start over").dispatch_event("click")
    seen(page.locator(".card"), 0)
    with page.expect_response("**/queue/join*") as response:
        held[0].continue_()
    assert response.value.status == 422
    name.fill("after")
    name.press("Enter")
    seen(card(page, "after"))
    seen(page.get_by_test_id("toast-body").filter(has_not_text="there is already a class"), 0)
    assert "Traceback" not in "".join(served.lines)


def add_two(page: Page) -> Callable[[], None]:
    """Adds the classes `first` and `second`; the card of the second is on its way until the result is called."""
    held: list[tuple[Route, APIResponse]] = []

    def read_to_the_end(route: Route) -> None:
        response = route.fetch()
        if not held and "Drop images of second here" in response.text():
            held.append((route, response))
        else:
            route.fulfill(response=response)

    page.route("**/queue/data?*", read_to_the_end)
    name, add = page.get_by_placeholder("class name"), page.get_by_role("button", name="Add class")
    name.fill("first")
    add.click()
    seen(card(page, "first"))
    name.fill("second")
    add.click()
    until(lambda: page.evaluate("true") and held != [])
    return lambda: held[0][0].fulfill(response=held[0][1])


@pytest.mark.slow
def test_what_is_done_while_a_stream_of_answers_ends_is_answered(served, visit):
    page = visit()
    draw = add_two(page)
    field = card(page, "first").get_by_label("Name")
    field.fill("third")
    with page.expect_response("**/queue/join*"):
        field.press("Enter")
    page.wait_for_timeout(500)
    draw()
    seen(card(page, "second"))
    seen(card(page, "third"))


@pytest.mark.slow
def test_a_name_that_is_being_typed_is_not_written_over(served, visit):
    page = visit()
    draw = add_two(page)
    field = card(page, "first").get_by_label("Name")
    field.fill("thi")
    draw()
    seen(card(page, "second"))
    page.wait_for_timeout(500)
    field.press_sequentially("rd")
    field.press("Enter")
    seen(card(page, "third"))
    holds(card(page, "third").get_by_label("Name"), "third")


@pytest.mark.slow
def test_bad_uploads_are_told_in_the_page(served, visit, tmp_path):
    page = visit()
    text, cut, wide, heavy = (tmp_path / name for name in ("text.png", "cut.png", "wide.png", "heavy.png"))
    text.write_text("no image at all")
    cut.write_bytes(png(Image.effect_noise((64, 64), 90))[:900])
    Image.new("1", (5000, 1000)).save(wide)
    heavy.write_bytes(b"\0" * (3 * 2**20))
    good = shades(tmp_path, "good", (90, 90, 160), 2)
    page.get_by_role("button", name="Example: letters").click()
    seen(page.locator(".verdict"))
    drop(card(page, "letter A"), [text, cut, wide, heavy, good[0]])
    said = page.get_by_test_id("toast-body")
    for message in ("text.png: is not an image", "cut.png: is damaged or cut short", "more than 4 million pixels"):
        seen(said.get_by_text(re.compile(re.escape(message))))
    seen(page.get_by_text("Adapted to 5 classes and 21 images"))

    not_a_zip = tmp_path / "not.zip"
    not_a_zip.write_text("no zip at all")
    page.get_by_role("button", name="Load a classifier").click()
    drop(page.locator(".drop", has_text="Drop a saved classifier"), [not_a_zip])
    seen(said.get_by_text(re.compile("not.zip is not a complete zip file")))
    twisted = pack(tmp_path / "twisted.zip", {"config.json": b"{}", "model.safetensors": b"junk"})
    drop(page.locator(".drop", has_text="Drop a saved classifier"), [twisted])
    seen(said.get_by_text(re.compile("config.json")))
    seen(page.get_by_text("Adapted to 5 classes and 21 images"))  # what was there is there

    page.get_by_role("tab", name="Ask").click()
    drop(page.locator(".drop", has_text="Or drop an image of your own"), [text])
    seen(said.get_by_text(re.compile("not a readable image")))
    assert "Traceback" not in page.content()
    assert "Traceback" not in "".join(served.lines)


@pytest.mark.slow
def test_two_visitors_do_not_see_each_other(served, visit, tmp_path):
    before = served.visitors()
    one, other = visit(), visit()
    one.get_by_role("button", name="Example: letters").click()
    seen(one.locator(".card"), 5)
    add_class(other, "mine", shades(tmp_path, "mine", (20, 60, 200), 2))
    seen(other.locator(".card"), 1)
    assert one.locator(".card").count() == 5
    one.get_by_role("button", name="Start over").click()
    seen(one.locator(".card"), 0)
    assert other.locator(".card").count() == 1

    folders = served.visitors() - before
    assert len(folders) == 2
    one.close()
    other.close()
    until(lambda: not folders & served.visitors())  # closing the page takes all with it
