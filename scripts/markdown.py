"""Tables in Markdown, as scripts print them."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A line for the header, one below it, and one for each of the rows."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def interval(found: Sequence[float] | None) -> str:
    """A ratio and its interval, `ratio [low, high]`; a dash for None."""
    return "{:.2f} [{:.2f}, {:.2f}]".format(*found) if found else "-"
