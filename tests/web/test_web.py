"""The page: what it says of good and bad uploads, and a visit with a real browser from upload to download."""

import importlib.util
import os
import shutil
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from told_faces import Brighter, Told, blurred

from pmrf_blocks.cli import main
from pmrf_blocks.commands import web as web_command
from pmrf_blocks.web import Settings, Studio, build_page

FACES = ((50, 60, 40), (120, 70, 70))


@pytest.fixture
def photographs(tmp_path):
    paths = []
    for name in ("one.png", "two.jpg"):
        Image.fromarray(blurred(120, 160)).save(tmp_path / name)
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
def served(tmp_path, monkeypatch):
    """The address of the page, with uploads below tmp_path."""
    pytest.importorskip("gradio", reason="gradio is not installed")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    page = build_page(Studio(lambda name: Brighter(0.3), Told(*FACES)))
    _, address, _ = page.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, inbrowser=False, max_file_size="1mb"
    )
    yield address
    page.close()


def visit(address, path):
    """(message, downloaded file) of one visitor who uploads one file."""
    from gradio_client import Client, handle_file

    client = Client(address, verbose=False)
    answer = client.predict([handle_file(str(path))], 1.0, "all", 1, 0, "bundled", api_name="/run")
    download = answer[2]["value"] if isinstance(answer[2], dict) else answer[2]
    return answer[0], download["path"] if isinstance(download, dict) else download


def test_two_visitors_at_once(served, photographs):
    """Each gets the own photograph back, though one is restored at a time."""
    with ThreadPoolExecutor(2) as pool:
        (first, one), (second, two) = pool.map(lambda path: visit(served, path), photographs)
    assert (first.split(":")[0], second.split(":")[0]) == ("one.png", "two.jpg")
    assert [Image.open(path).format for path in (one, two)] == ["PNG", "JPEG"]


def test_an_upload_that_is_too_large_is_refused(served, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size > 2**20
    with pytest.raises(Exception, match=r"(?i)size|large|413"):
        visit(served, tmp_path / "large.png")


def test_uploads_do_not_stay(tmp_path, monkeypatch):
    """gradio deletes its copies of uploads after an hour; all are gone when the command ends, however it ends."""
    pytest.importorskip("gradio", reason="gradio is not installed")
    assert build_page(Studio(lambda name: Brighter(0.3), Told())).delete_cache == (600, 3600)
    seen = []

    class Page:
        def launch(self, **options):
            folder = Path(os.environ["GRADIO_TEMP_DIR"])
            (folder / "upload.png").write_bytes(b"private")
            seen.append(folder)
            raise KeyboardInterrupt

    monkeypatch.setattr(web_command, "build_page", lambda studio: Page())
    monkeypatch.setattr(web_command, "build_detector", lambda name: Told())
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    assert main(["web"]) == 130
    assert not seen[0].exists()
    assert "GRADIO_TEMP_DIR" not in os.environ


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
