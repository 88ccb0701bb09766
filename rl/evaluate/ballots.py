"""The samples of an evaluation with the answers that they give, for a vote; kept as parquet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.types import Finish
from rl.evaluate.evaluation import Evaluation
from rl.evaluate.voting import NO_ANSWER, Ballots

ANSWERS = "answers.parquet"
"""Beside the completions: which answer each sampled one gives."""

Numbers = Sequence[Sequence[int | None]]
"""Which of a problem's different answers each sample gives [P][n]; None is no answer."""


def ballots(evaluation: Evaluation, numbers: Numbers) -> Ballots:
    """What a vote needs to know of the sampled completions."""
    outcomes = evaluation.outcomes.sampled
    return Ballots(
        problems=outcomes.problems,
        correct=outcomes.correct,
        tokens=outcomes.tokens,
        finished=np.array(
            [[each.completion.finish is Finish.STOP for each in row] for row in evaluation.sampled]
        ),
        answers=np.array(
            [[NO_ANSWER if number is None else number for number in row] for row in numbers]
        ),
    )


def write_answers(path: Path, evaluation: Evaluation, numbers: Numbers) -> None:
    """Writes `id` and `answer_number` of each sampled completion, a row each, in their order."""
    rows = [
        {"id": judged.completion.id, "answer_number": number}
        for row, said in zip(evaluation.sampled, numbers, strict=True)
        for judged, number in zip(row, said, strict=True)
    ]
    schema = pa.schema([("id", pa.string()), ("answer_number", pa.int32())])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")
