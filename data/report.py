"""What became of a dataset's rows: how many are prompts, and which are not, and why."""

from collections.abc import Mapping
from dataclasses import dataclass

from data.rows import listed


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """The fate of every row of one split; `num_rows` is the sum of the other counts."""

    path: str
    split: str
    num_rows: int
    num_prompts: int
    duplicates: Mapping[int, int]
    """Row that is left out, to the earlier row with the same question."""
    conflicts: frozenset[int]
    """Those of them that give another answer; the earlier row counts."""
    unusable: Mapping[int, str]
    """Row that is left out by `data.unusable_rows=leave_out`, to what is wrong with it."""

    def counts(self) -> dict[str, int | str]:
        """What `summary.json` says about the data."""
        return {
            "path": self.path,
            "split": self.split,
            "rows": self.num_rows,
            "prompts": self.num_prompts,
            "duplicates": len(self.duplicates),
            "duplicates_with_another_answer": len(self.conflicts),
            "unusable": len(self.unusable),
        }

    def lines(self) -> list[str]:
        """What to tell the user; empty when every row is a prompt."""
        found = []
        if self.duplicates:
            found.append(
                listed(
                    f"{self._place}: {len(self.duplicates)} of {self.num_rows} rows repeat an "
                    f"earlier question and are left out, {len(self.conflicts)} of them with "
                    "another answer",
                    [self._repeats(row) for row in sorted(self.duplicates)],
                )
            )
        if self.unusable:
            found.append(
                listed(
                    f"{self._place}: {len(self.unusable)} of {self.num_rows} rows cannot be used "
                    "and are left out (data.unusable_rows=leave_out)",
                    by_row(self.unusable),
                )
            )
        return found

    @property
    def _place(self) -> str:
        return f"data path {self.path}, split {self.split}"

    def _repeats(self, row: int) -> str:
        other = " with another answer" if row in self.conflicts else ""
        return f"row {row} repeats row {self.duplicates[row]}{other}"


def by_row(problems: Mapping[int, str]) -> list[str]:
    """One line per row, in order."""
    return [f"row {row}: {problems[row]}" for row in sorted(problems)]
