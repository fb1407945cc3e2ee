"""The web page of pmrf-blocks: photographs dropped in a browser, restored on this machine.

restoring.py    Studio: uploads in, results, a message and a download out; no web in it
page.py         build_page(): the gradio page around a Studio
"""

from pmrf_blocks.web.page import build_page
from pmrf_blocks.web.restoring import Settings, Studio

__all__ = ["Settings", "Studio", "build_page"]
