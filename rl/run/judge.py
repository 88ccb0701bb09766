"""The judge: evaluates whatever weights the engine holds, and has the journal write it down."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from data.types import Prompt
from rewards.protocols import Verifier
from rl.config import RunConfig
from rl.evaluate.evaluate import Hear, evaluate
from rl.evaluate.evaluation import Evaluation
from rl.run.interrupts import Interrupts
from rl.run.journal import Journal
from rollout.background import Runner
from rollout.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Evaluates the engine's current weights on the held-out problems."""

    engine: Engine
    loop: Runner
    verifier: Verifier
    problems: list[Prompt]
    config: RunConfig
    journal: Journal
    interrupts: Interrupts
    known_base: Evaluation | None = None
    """The evaluation before training, where a former run from the same weights made it."""

    def __call__(self, name: str, step: int) -> Evaluation | None:
        """One evaluation, logged under `step`; None without held-out problems."""
        if not self.problems:
            return None
        samples = self.config.evaluation.samples_per_problem
        self.journal.progress.note(f"evaluating {name}: {len(self.problems)} problems x {samples}")
        start = perf_counter()
        with self.interrupts.allowed():
            evaluation = self.loop.run(
                evaluate_held_out(self.engine, self.problems, self.verifier, self.config, name)
            )
        self.record(name, step, evaluation, perf_counter() - start)
        return evaluation

    def record(self, name: str, step: int, evaluation: Evaluation, seconds: float) -> None:
        """Has the journal write an evaluation down under `step`."""
        caps = self.config.evaluation.caps
        self.journal.evaluation(name, step, evaluation, seconds, caps)


async def evaluate_held_out(
    engine: Engine,
    problems: Sequence[Prompt],
    verifier: Verifier,
    config: RunConfig,
    name: str,
    heard: Hear = lambda judged: None,
) -> Evaluation:
    """Evaluates the engine's weights as `config.evaluation` says."""
    settings = config.evaluation
    return await evaluate(
        engine,
        problems,
        verifier,
        name=name.replace(" ", "_"),
        limit=config.limit.max_response_tokens,
        samples_per_problem=settings.samples_per_problem,
        temperature=settings.temperature,
        top_p=settings.top_p,
        greedy=settings.greedy,
        seed=config.seed,
        heard=heard,
    )
