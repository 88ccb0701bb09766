"""Published figures of the papers, benchmark by benchmark: other protocols, shown beside a run.

Figures are comparable only within one table of one paper: bases, caps, samples and graders differ
between them. So each method is measured against the base of its own table, and a report draws it
grey. All start from R1-Distill-Qwen-1.5B.
"""

from dataclasses import dataclass
from statistics import mean

from rl.evaluate.formulas import accuracy_efficiency_score

Cell = tuple[float, float]
"""Accuracy in per cent, response tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of a paper: its base and its methods, each with a cell per benchmark."""

    paper: str
    setting: str
    benchmarks: tuple[str, ...]
    base: tuple[Cell, ...]
    methods: dict[str, tuple[Cell, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A method over the benchmarks of its table; `aes` is the mean over benchmarks of AES 1/3/5.

    `token_ratio` and `accuracy_change` (relative) compare the means of method and base.
    """

    method: str
    paper: str
    protocol: str
    accuracy: float
    response_tokens: float
    token_ratio: float
    accuracy_change: float
    aes: float


TABLES = (
    Table(
        paper="PALU, arXiv:2510.10168, table 2",
        setting="",
        benchmarks=("MATH500", "AIME24", "AMC23", "Olympiad", "Minerva"),
        base=((82.1, 5534), (28.5, 16590), (62.7, 10615), (43.5, 11587), (26.0, 7076)),
        methods={
            "Kimi k1.5": ((66.3, 1552), (18.8, 9109), (44.7, 3808), (28.5, 4774), (16.7, 1009)),
            "cosine": ((75.6, 2735), (27.5, 12492), (61.1, 6970), (42.9, 8307), (27.1, 3485)),
            "L1-Max": ((83.5, 3337), (21.7, 4093), (66.3, 3350), (45.6, 2698), (25.2, 2595)),
            "O1-Pruner": ((79.1, 2531), (25.0, 8961), (62.5, 5010), (39.0, 5242), (23.7, 2400)),
            "ShorterBetter": ((62.9, 626), (22.9, 4617), (65.0, 2311), (34.8, 2674), (19.8, 827)),
            "ThinkPrune": ((83.0, 2745), (29.5, 8557), (71.7, 4241), (45.2, 5505), (26.5, 3341)),
            "ALP": ((80.5, 1435), (37.9, 8084), (76.5, 3513), (47.6, 4670), (24.5, 2197)),
            "PALU": ((85.3, 1502), (40.0, 7132), (81.8, 3174), (49.5, 3958), (24.2, 1922)),
        },
    ),
    Table(
        paper="SIRI, arXiv:2509.25176, table 1",
        setting="; 16k cap, T=0.6, 64 samples",
        benchmarks=("AIME24", "AIME25", "AMC", "MATH500"),
        base=((28.2, 12333), (21.5, 12264), (61.8, 8449), (82.4, 4745)),
        methods={
            "SIRI-low": ((40.4, 7093), (29.6, 6509), (74.6, 4700), (87.7, 2881)),
            "SIRI-high": ((43.6, 10049), (32.2, 9739), (75.9, 7396), (88.4, 4633)),
        },
    ),
    Table(
        paper="DLER, arXiv:2510.15110, table 1",
        setting="; 32k cap, T=0.6, 16 samples",
        benchmarks=("MATH", "AIME24", "AMC", "Minerva", "Olympiad"),
        base=((84.31, 5500), (29.79, 16916), (61.97, 10967), (38.41, 7494), (44.07, 11620)),
        methods={
            "DLER": ((86.95, 1652), (34.38, 3551), (70.48, 2537), (43.59, 2029), (48.31, 2563)),
            "DA-DLER": ((86.70, 1484), (34.37, 2888), (72.36, 2154), (44.89, 1895), (48.70, 2109)),
        },
    ),
    Table(
        paper="DOT, arXiv:2601.03969, README",
        setting="; 32k cap, T=0.6, 32 samples",
        benchmarks=("AIME24", "AIME25", "AMC", "MATH500"),
        base=((30.0, 15498), (23.5, 15604), (64.1, 10316), (84.0, 5483)),
        methods={
            "DOT-4K": ((43.1, 3342), (29.2, 2979), (77.5, 2281), (89.2, 1249)),
            "DOT-8K": ((52.2, 5151), (34.2, 5143), (80.6, 3140), (89.9, 1423)),
        },
    ),
)  # fmt: skip


def anchors() -> list[Anchor]:
    """Every method of every table against the base of its table."""
    return [
        _anchor(table, method, cells) for table in TABLES for method, cells in table.methods.items()
    ]


def _anchor(table: Table, method: str, cells: tuple[Cell, ...]) -> Anchor:
    accuracy, base_accuracy = (mean(cell[0] for cell in row) for row in (cells, table.base))
    tokens, base_tokens = (mean(cell[1] for cell in row) for row in (cells, table.base))
    scores = [
        accuracy_efficiency_score(*cell, *base)
        for cell, base in zip(cells, table.base, strict=True)
    ]
    return Anchor(
        method=method,
        paper=table.paper,
        protocol=f"mean of {', '.join(table.benchmarks)}{table.setting}",
        accuracy=accuracy / 100,
        response_tokens=tokens,
        token_ratio=tokens / base_tokens,
        accuracy_change=accuracy / base_accuracy - 1,
        aes=mean(scores),
    )
