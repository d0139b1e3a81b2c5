"""The page holds all that it shows, whatever names hold, and works in a browser."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from segsuite.reporting.html import embedded, page
from segsuite.reporting.markdown import cell, markdown
from segsuite.reporting.page_data import page_data
from segsuite.reporting.summary import summary
from segsuite.reporting.written import write
from tests.reporting.made import sweep, training

NASTY = "a </script><script>alert(1)</script> \"'&<b>|`\\ /" + "x" * 300
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
LIBRARY = ' type="text/plain" id="plotly"'
DATA = ' type="application/json" id="data"'
ABOUT = {"title": NASTY, "made": "today", "command": "python -m segsuite.report <x>"}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    sweep(folder / "sweeps" / "windows", windows=(0, NASTY))
    choices = {"data": "camvid", "experiment": NASTY}
    training(
        folder / "train" / "other" / "now", miou=0.7, settings={"name": NASTY}, choices=choices
    )
    return summary([str(folder)], baseline=None, images=24)


def test_what_is_embedded_ends_no_script_and_is_read_back_as_it_was():
    text = embedded({"name": NASTY + "\u2028\u2029"})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"name": NASTY + "\u2028\u2029"}


def test_the_page_fetches_nothing_and_its_only_scripts_are_its_own(here):
    data = page_data(here, **ABOUT)
    made = page(data)
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", made, re.S)
    assert made.count("<script") == made.count("</script>") == len(scripts) == 3
    assert [attributes for attributes, _ in scripts] == [DATA, LIBRARY, ""], "no src="
    assert json.loads(scripts[0][1]) == json.loads(json.dumps(data))
    around = re.sub(r"<script.*?</script>", "", made, flags=re.S)
    assert html.escape(NASTY) in around
    assert not re.search(r"(src|href)=|url\(|@import", around)


def test_markdown_and_csv_keep_names_in_their_cells(here, tmp_path):
    said = markdown(here, **ABOUT)
    table = [line for line in said.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert "± 1.41 (2)" in said and "<script>" not in said
    assert cell("a|b") == r"a\|b"
    paths = write(here, tmp_path, **ABOUT)
    lines = paths["csv"].read_text().splitlines()
    assert len(lines) == 6 and lines[0].startswith("name,group,test/miou,")
    assert sum(path.stat().st_size for path in paths.values()) < 6e6


ACTIONS = (Path(__file__).parent / "actions.js").read_text()


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_it_sorts_filters_and_switches_its_baseline_in_a_browser(here, tmp_path):
    made = page(page_data(here, **ABOUT))
    path = tmp_path / "report.html"
    path.write_text(made.replace("<script>", f"<script>{ACTIONS}</script><script>", 1))
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,9000"]
    command = [BROWSER, *flags, "--virtual-time-budget=6000", "--dump-dom", path.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    said = json.loads(html.unescape(re.search(r"<pre>(.*?)</pre>", shown, re.S)[1]))
    assert "error" not in said, said
    assert len(said["first"]) == 3, "two settings of two seeds, and a training alone"
    numbers = [float(re.match(r"[\d.]+", text)[0]) for text in said["ascending"]]
    assert numbers == sorted(numbers) == [41.0, 51.0, 70.0]
    assert said["each"] == 5 and len(said["filtered"]) == 2
    assert said["before"] != said["after"] and len(said["differences"]) == 4
    assert said["theme"] == "light" and said["images"] == 7
    assert said["plots"] == ["cost-plot", "curve-plot", "class-plot", "confusion-plot"]
    assert said["sections"][:3] == ["Trainings", "Accuracy against cost", "Learning curves"]
