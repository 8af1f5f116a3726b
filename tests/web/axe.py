"""axe-core, which tells what people with assistive technology would stumble over on a page."""

from functools import cache
from pathlib import Path

from playwright.sync_api import Page

_SCRIPT = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


@cache
def _source() -> str:
    return _SCRIPT.read_text("utf-8")


def complaints(page: Page) -> list[str]:
    """What axe-core finds on the page as it stands: every rule of WCAG 2.2 A and AA, and its own best practices."""
    page.evaluate(_source())  # by the debugger, which the page's policy does not bind
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations'], rules: {'target-size': {enabled: true}}})")
    return [f"{each['id']}: {node['html'][:200]} ({node['failureSummary']})" for each in found["violations"] for node in each["nodes"]]
