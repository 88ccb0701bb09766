"""`laconic report RUN...`: one HTML page that says whether it worked, and the Pareto picture.

Writes `report.html` and, for each set of runs that may be compared, `report-pareto.svg` and `.png`
(`report-pareto-2.svg` and so on) beside it: into the run's folder for one run, here for several.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rl.report.page import Report

PAGE = "report.html"


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `report` to the `laconic` command."""
    parser = commands.add_parser(
        "report", help="one HTML page about runs: did it work?", description=__doc__
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="folders of runs")
    parser.add_argument("--to", type=Path, metavar="FILE", help="a new .html file")
    parser.set_defaults(run=run, overrides=[])


def run(asked: argparse.Namespace) -> int:
    """Writes the report; 1 with one message when something is in the way."""
    try:
        if asked.overrides:
            raise ValueError(f"takes no overrides: {' '.join(asked.overrides)}")
        page = asked.to or page_for(asked.folders)
        if page.suffix != ".html":
            raise ValueError(f"--to {page}: give a file that ends in .html")
        check_new([page])
        made = make(asked.folders)
        written = write(made, page)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"laconic report: {error}\n")
        return 1
    for reason in made.not_comparable:
        sys.stdout.write(f"not comparable: {reason}\n")
    for path in written:
        sys.stdout.write(f"{path}\n")
    return 0


def page_for(folders: Sequence[Path]) -> Path:
    """Where the page goes when nobody says: with one run, into its folder."""
    return folders[0] / PAGE if len(folders) == 1 else Path(PAGE)


def make(folders: Sequence[Path]) -> "Report":
    """Reads every run; raises ValueError with all folders that cannot be reported."""
    from rl.report.page import report
    from rl.report.run import ReportedRun, read_reported

    names = run_names(folders)
    runs: list[ReportedRun] = []
    problems: list[str] = []
    for folder, name in zip(folders, names, strict=True):
        try:
            runs.append(read_reported(folder, name))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n- ".join([f"{len(problems)} problem(s):", *problems]))
    return report(runs)


def run_names(folders: Sequence[Path]) -> list[str]:
    """The folders' last names, with the one above where two are the same.

    Raises ValueError when a folder is given twice.
    """
    places = [folder.resolve() for folder in folders]
    if twice := [str(place) for place, count in Counter(places).items() if count > 1]:
        raise ValueError(f"given twice: {', '.join(twice)}; give every run once")
    counts = Counter(place.name for place in places)
    return [
        place.name if counts[place.name] == 1 else f"{place.parent.name}/{place.name}"
        for place in places
    ]


def write(made: "Report", page: Path) -> list[Path]:
    """The page and its pictures, none of which may exist; returns their paths."""
    from rl.report.png import png_bytes
    from rl.report.svg import svg_file

    files = {page: made.html.encode()}
    for index, picture in enumerate(made.pictures, start=1):
        stem = f"{page.stem}-pareto" + (f"-{index}" if index > 1 else "")
        files[page.with_name(f"{stem}.svg")] = svg_file(picture).encode()
        files[page.with_name(f"{stem}.png")] = png_bytes(picture)
    check_new(files)
    page.parent.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        with path.open("xb") as file:
            file.write(content)
    return list(files)


def check_new(paths: Iterable[Path]) -> None:
    """Raises ValueError when one of the files is there."""
    if there := [str(path) for path in paths if path.exists()]:
        raise ValueError(
            f"{', '.join(there)}: there already, and nothing is overwritten; "
            "give a new file with --to, or remove it"
        )
