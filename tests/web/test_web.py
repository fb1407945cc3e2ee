"""The page: what it says of good and bad uploads, and a visit with a real browser from upload to download."""

import importlib.util
import shutil
import time
import zipfile

import numpy as np
import pytest
from PIL import Image
from told_faces import Brighter, Told

from pmrf_blocks.web import Settings, Studio, build_page

FACES = ((50, 60, 40), (120, 70, 70))


@pytest.fixture
def photographs(tmp_path):
    paths = []
    for name in ("one.png", "two.jpg"):
        array = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
        Image.fromarray(array).save(tmp_path / name)
        paths.append(tmp_path / name)
    return paths


def test_one_photograph_is_one_file_and_several_are_a_zip(photographs):
    studio = Studio(lambda name: Brighter(0.3), Told(*FACES))
    one = studio.restore(photographs[:1], Settings(weight=0.5, upscale=2))
    assert one.message == "one.png: 1 face restored (40 px), 1 left (70 px, larger than 64)."
    assert Image.open(one.download).size == (320, 240)
    assert one.shown[0].faces[1] == ((60, 80, 140, 160), "40 px, restored")
    both = studio.restore(photographs, Settings())
    assert len(both.shown) == 2
    assert zipfile.ZipFile(both.download).namelist() == ["0_one.png", "1_two.jpg"]


def test_bad_uploads_get_a_sentence(photographs, tmp_path):
    (tmp_path / "letter.jpg").write_text("Dear photograph")
    studio = Studio(lambda name: Brighter(0.3), Told(), max_pixels=20_000)
    Image.new("RGB", (300, 200)).save(tmp_path / "large.png")
    outcome = studio.restore([tmp_path / "letter.jpg", tmp_path / "large.png", photographs[0]], Settings())
    letter, large, empty = outcome.message.split("\n\n")
    assert letter.startswith("letter.jpg: not an image")
    assert "20,000" in large or "20000" in large
    assert empty == "one.png: no face found."
    assert len(outcome.shown) == 1
    assert studio.restore([], Settings()).message == "Drop a photograph first."


@pytest.fixture
def browser():
    """Headless Chromium that can reach this machine and nothing else."""
    for package in ("gradio", "selenium"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium and chromium-driver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,1400",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):  # fmt: skip
        options.add_argument(argument)
    running = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield running
    running.quit()


def test_a_visit_from_upload_to_download(browser, photographs, monkeypatch):
    import urllib.request

    from selenium.webdriver.common.by import By

    page = build_page(Studio(lambda name: Brighter(0.3), Told(*FACES)))
    _, address, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, inbrowser=False)
    try:
        browser.get(address)

        def wait(found, limit=60):
            end = time.monotonic() + limit
            while time.monotonic() < end:
                try:
                    if value := found():
                        return value
                except Exception as error:  # the page is being drawn
                    last = error
                time.sleep(0.2)
            raise AssertionError(f"not seen in {limit} s: {last if 'last' in dir() else ''}")

        wait(lambda: browser.find_element(By.CSS_SELECTOR, "#upload input[type=file]")).send_keys(str(photographs[0]))
        wait(lambda: "one" in browser.find_element(By.CSS_SELECTOR, "#upload").text)
        browser.find_element(By.ID, "restore").click()
        wait(lambda: "1 face restored" in browser.find_element(By.ID, "message").text)
        wait(lambda: len(browser.find_elements(By.CSS_SELECTOR, "#slider img")) >= 2)
        link = wait(lambda: browser.find_element(By.CSS_SELECTOR, "a#download, #download a, a[download]"))
        with urllib.request.urlopen(link.get_attribute("href")) as response:
            assert response.read()[:8] == b"\x89PNG\r\n\x1a\n"
    finally:
        page.close()
