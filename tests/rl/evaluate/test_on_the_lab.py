"""An evaluation by the real engine: what one set of completions says about shorter limits."""

import json
from pathlib import Path

import numpy as np
import pytest

from rewards.pool import WorkerPool
from rewards.verifiers.math import MathVerifier
from rl.evaluate.evaluate import evaluate
from rl.evaluate.figures import figures
from rl.evaluate.outcomes import Outcomes
from rl.evaluate.results import COMPLETIONS, Measured, results, write_results
from rl.run.completions import write_evaluated
from tests.engine_fixtures import LabEngine
from tests.rl.evaluate.recompute import differences, recompute

pytestmark = pytest.mark.engine

CAP = 48


def evaluated(lab: LabEngine, limit: int, folder: Path | None = None) -> Outcomes:
    pool = WorkerPool(workers=1, timeout_seconds=5.0, memory_gib=4.0)
    evaluation = lab.loop.run(
        evaluate(
            lab.engine, lab.prompts, MathVerifier(pool), name=f"limit_{limit}", limit=limit,
            samples_per_problem=4,
        )
    )  # fmt: skip
    lab.loop.run(pool.close())
    if folder:
        write_evaluated(folder / COMPLETIONS, 0, evaluation)
        measured = Measured(model="lab:short", settings={}, modes=evaluation.outcomes)
        write_results(folder, results(measured, {}, [CAP, limit], None))
    return evaluation.outcomes.sampled


def test_accuracy_under_a_cap_is_what_generation_under_that_limit_gives(
    lab_engine: LabEngine, tmp_path: Path
) -> None:
    whole = evaluated(lab_engine, 512, tmp_path)
    cut, generated = whole.capped(CAP), evaluated(lab_engine, CAP)
    assert 0 < np.nanmean(generated.correct) < np.nanmean(whole.correct)
    np.testing.assert_array_equal(cut.correct, generated.correct)
    np.testing.assert_array_equal(cut.tokens, generated.tokens)
    assert figures(cut)["accuracy"] == figures(generated)["accuracy"]
    kept = json.loads((tmp_path / "results.json").read_text())
    assert differences(recompute(tmp_path, None, kept), kept) == []
