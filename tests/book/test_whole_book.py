"""Every page of the built book as readers meet it: light and dark, at a desk and on a phone, from a server.

`make check` runs this after `make book`; without a built book there is nothing to look at.
"""

import functools
import http.server
import threading
from pathlib import Path

import pytest
from browser import DESKTOP, PHONE

from kdcore.publishing.checking import faults

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "_build" / "html"
KINDS = {"desk-light": (DESKTOP, "light"), "desk-dark": (DESKTOP, "dark"), "phone-light": (PHONE, "light"),
         "phone-dark": (PHONE, "dark")}  # fmt: skip
# Without `preload`, for which axe would ask for the style sheets once more.
RULES = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'], preload: false}"
TOLD = "one => one.id + ': ' + one.nodes.slice(0, 3).map(node => node.target.join(' ')).join(', ')"
BARRIERS = f"axe.run(document, {RULES}).then(told => told.violations.map({TOLD}))"
SETTLED = "new Promise(done => setTimeout(() => done(true), 400))"  # the theme fades between its colours
# A phone zooms out until a page that is too wide fits its window, so it is its own width that is compared.
SEEN = """(() => {
  const screen = document.documentElement.clientWidth;
  const all = (selector) => [...document.querySelectorAll('.bd-article ' + selector)];
  const named = (node) => (node.getAttribute('src') || node.id || node.textContent).slice(0, 60).trim();
  const captioned = (node) => node.closest('figure')?.querySelector('figcaption')?.textContent.trim();
  return {
    'wider than the screen': document.documentElement.scrollWidth > screen ? ['page'] : [],
    'formula not typeset': all('.math').filter(node => !node.querySelector('mjx-container')).map(named),
    'formula with an error': all('mjx-merror').map(named),
    'picture without a description': all('img').filter(node => !node.alt.trim()).map(named),
    'picture without a caption': all('img:not(table img)').filter(node => !captioned(node)).map(named),
    'drawing without a description': all('svg[role]').filter(node => !node.getAttribute('aria-label')).map(named),
    'caption wider than its column': all('table caption').filter(node => node.getBoundingClientRect().width
      > 1 + (node.closest('.pst-scrollable-table-container')?.clientWidth ?? screen)).map(named),
    'glued text in bold': all('p > span.pasted-text').filter(
      node => !node.closest('b, strong') && Number(getComputedStyle(node).fontWeight) > 400).map(named),
    'table of results without a caption':
      all('table.kd-table').filter(node => !node.querySelector('caption')?.textContent.trim()).map(named),
  };
})()"""


def pages() -> list[str]:
    """Every page by its path; source listings are looked at by `faults` alone."""
    there = sorted(path.relative_to(BUILT) for path in BUILT.rglob("*.html")) if BUILT.is_dir() else []
    return [path.as_posix() for path in there if path.parts[0] not in ("_static", "_modules")]


@pytest.fixture(scope="module")
def address():
    """Where a server of this machine shows the book."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *words: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=str(BUILT)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.built
@pytest.mark.skipif(not pages(), reason="the book has not been built (make book)")
class TestTheBookItself:
    def test_every_link_anchor_and_file_is_there_and_every_picture_described(self):
        assert faults(BUILT) == []

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", pages())
    def test_a_page_is_whole_quiet_and_fits(self, page, address, name, kind):
        size, scheme = KINDS[kind]
        page.visit(f"{address}/{name}", size=size, scheme=scheme)
        assert [one for one in page.requests if not one.startswith((address, "data:", "blob:"))] == []
        assert page.faults == []
        assert {what: found for what, found in page.run(SEEN).items() if found} == {}

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", pages())
    def test_axe_finds_no_barrier(self, page, address, axe, name, kind):
        size, scheme = KINDS[kind]
        page.visit(f"{address}/{name}", size=size, scheme=scheme)
        page.run(SETTLED)
        page.run(f"{axe}; true")
        assert page.run(BARRIERS) == []

    @pytest.mark.parametrize("word", ["蒸馏", "知识蒸馏", "distillation", "temperature", "温度"])
    def test_the_page_of_search_finds_chinese_and_english(self, page, address, word):
        page.visit(f"{address}/search.html", query=f"?q={word}")
        page.until("document.querySelectorAll('#search-results ul.search li').length > 0")

    @pytest.mark.parametrize("word", ["蒸馏", "distillation"])
    def test_the_field_beside_every_page_finds_them_too(self, page, address, word):
        page.visit(f"{address}/index.html")
        page.run("document.querySelector('.search-button-field, .search-button').click()")
        field = "document.querySelector('#pst-search-dialog input, .search-button__search-container input')"
        page.until(f"{field} !== null")
        page.run(f"{field}.value = {word!r}; setTimeout(() => {field}.form.submit())")
        page.until("document.querySelectorAll('#search-results ul.search li').length > 0")

    def test_the_front_page_shows_its_doors_without_scrolling(self, page, address):
        page.visit(f"{address}/index.html")
        assert page.run("document.querySelector('.kd-hero').getBoundingClientRect().top") < 400
        assert page.run("document.querySelector('.kd-doors').getBoundingClientRect().top") < DESKTOP[1] - 60
