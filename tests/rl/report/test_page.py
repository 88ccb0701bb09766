import base64
import csv
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest

from rl.report import page as page_module
from rl.report import view as view_module
from rl.report.page import report
from rl.report.run import read_reported
from tests.rl.report.reported import HOSTILE, reported, write_trained
from tests.rl.report.test_protocol import hotter


class Seen(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._hidden = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._hidden = tag if tag in ("script", "style") else self._hidden

    def handle_endtag(self, tag: str) -> None:
        self._hidden = "" if tag == self._hidden else self._hidden

    def handle_data(self, data: str) -> None:
        self.text += "" if self._hidden else data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_first_thing_said_is_the_verdict_with_its_figures_and_the_command(
    tmp_path: Path,
) -> None:
    text = Seen(report([reported(tmp_path)]).html).text
    assert "Shorter, accuracy kept within a point" in text
    assert "12.5 to 3.8" in " ".join(text.split())
    assert "\N{MINUS SIGN}70.0 % [\N{MINUS SIGN}77.3, \N{MINUS SIGN}64.3]" in text
    assert "torchrun run/recipe.yaml" in text
    assert "GRPO (arXiv:2402.03300) on four problems." in text


def test_the_latest_step_is_drawn_unless_it_has_too_many_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = reported(tmp_path)
    text = Seen(report([run]).html).text
    assert "2/b/0: generate 2.00 s" in text and "step 3: learn 1.50 s" in text
    assert "50% idle" in text
    monkeypatch.setattr(view_module, "MOST_RECORDS", 2)
    assert "2/b/0: generate" not in Seen(report([run]).html).text


def test_nothing_is_loaded_from_anywhere(tmp_path: Path) -> None:
    html = report([reported(tmp_path)]).html
    seen = Seen(html)
    assert not {"link", "img", "iframe", "object", "base", "form"} & {n for n, _ in seen.elements}
    for _, attributes in seen.elements:
        assert not {"src", "style", "onclick", "onload", "srcset"} & set(attributes)
        assert re.match(r"#|data:text/csv|$", attributes.get("href") or "")
    urls = set(re.findall(r"https?://[^\s\"'<>]+", html))
    assert urls <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in html and "url(" not in html


def test_the_policy_admits_the_style_and_the_script_by_their_hashes_alone(tmp_path: Path) -> None:
    html = report([reported(tmp_path)]).html
    policy = next(
        str(meta["content"])
        for meta in Seen(html).named("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_what_a_model_wrote_is_text_and_never_an_element(tmp_path: Path) -> None:
    folder = write_trained(tmp_path / "run", texts=(HOSTILE, HOSTILE))
    html = report([read_reported(folder, "<b>run</b>")]).html
    seen = Seen(html)
    assert len(seen.named("script")) == len(seen.named("style")) == 1 and not seen.named("img")
    shown = HOSTILE.replace("\x00", "\u2400").replace("\x1b", "\u241b")
    assert shown in seen.text and "<b>run</b>" in seen.text
    assert "\x00" not in html


def test_an_unfinished_run_says_so_and_shows_what_there_is(tmp_path: Path) -> None:
    text = Seen(report([reported(tmp_path, finished=False)]).html).text
    assert "unfinished: step 3 of 30" in text
    assert "No verdict: not evaluated after training yet" in text
    assert "zero_variance rang at step 3" in text


def test_a_run_that_has_only_begun_is_a_page_too(tmp_path: Path) -> None:
    folder = write_trained(tmp_path / "run", finished=False)
    for path in [*folder.glob("eval/*"), *folder.glob("completions/*")]:
        path.unlink()
    (folder / "metrics.jsonl").unlink()
    (folder / "history.jsonl").unlink()
    made = report([read_reported(folder, "run")])
    text = Seen(made.html).text
    assert "unfinished: step 0 of 30" in text and made.pictures == []
    assert "No verdict: not evaluated on held-out problems" in text
    assert "No completion was stored" in text and "No training step was recorded." in text


def test_runs_are_compared_pairwise_with_the_first(tmp_path: Path) -> None:
    made = report([reported(tmp_path, "one"), reported(tmp_path, "two")])
    text = " ".join(Seen(made.html).text.split())
    assert "Against one After training, paired" in text
    assert "two+0.0 [+0.0, +0.0] %" in text
    assert len(made.pictures) == 1 and made.not_comparable == []


def test_runs_that_do_not_compare_are_said_to_and_drawn_apart(tmp_path: Path) -> None:
    made = report([reported(tmp_path, "one"), hotter(reported(tmp_path, "two"))])
    assert made.not_comparable == ["two and one: temperature: 0.6, 1"]
    assert len(made.pictures) == 2
    text = Seen(made.html).text
    assert "Not comparable" in text and "two and one: temperature: 0.6, 1" in text
    assert "paired over the problems that both answered" not in text.partition("How to read")[0]


def test_the_raw_tables_are_links_that_hold_csv(tmp_path: Path) -> None:
    links = {
        str(link["download"]): str(link["href"])
        for link in Seen(report([reported(tmp_path)]).html).named("a")
        if "download" in link
    }
    assert list(links) == [
        "figures.csv", "failures.csv", "completions.csv", "published.csv", "metrics-run.csv",
    ]  # fmt: skip
    data = base64.b64decode(links["metrics-run.csv"].partition("base64,")[2]).decode()
    rows = list(csv.DictReader(StringIO(data)))
    assert [row["step"] for row in rows] == ["1.0", "2.0", "3.0"]
    assert rows[0]["entropy"] == "0.4"


def test_long_completions_leave_the_page_below_its_bound(tmp_path: Path) -> None:
    folder = write_trained(tmp_path / "run", texts=("x" * 2_000_000, "y<&" * 700_000))
    html = report([read_reported(folder, "run")]).html
    assert len(html.encode()) < page_module.MOST_BYTES
    assert "characters left out" in html


def test_groups_without_room_are_counted_and_not_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_module, "TEXT_BYTES", 10)
    text = Seen(report([reported(tmp_path)]).html).text
    assert "0 of 6 groups fit into this page" in text and "No completion was stored" not in text


def test_a_page_that_would_be_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "MOST_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"1 runs would take 0\.\d MB.*; give fewer runs"):
        report([reported(tmp_path)])


def test_a_base_that_solves_nothing_has_no_aes_and_no_place_in_the_relative_picture(
    tmp_path: Path,
) -> None:
    run = reported(tmp_path)
    assert run.change
    nothing = {**run.change.base, "accuracy": replace(run.change.base["accuracy"], value=0.0)}
    change = replace(run.change, aes=None, base=nothing)
    assert "the base solves nothing" in report([replace(run, change=change)]).html


def test_the_recipe_may_lack_everything_but_what_every_run_has(tmp_path: Path) -> None:
    folder = write_trained(tmp_path / "run")
    recipe = (folder / "recipe.yaml").read_text().splitlines()
    (folder / "recipe.yaml").write_text("\n".join(recipe[3:]))
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({"steps": summary["steps"]}))
    assert "no first line that names the method" in report([read_reported(folder, "run")]).html
