"""How the completions of a group are asked for: their names, seeds and order of service."""

from dataclasses import dataclass

from data.types import Prompt
from rollout.engine import Sampling
from rollout.scheduling.priorities import in_step
from rollout.seeds import derived_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A prompt to sample a group of, up to `limit` tokens each, by weights of version `step`.

    Of the requests of a step those of lower `rank` begin first.
    """

    prompt: Prompt
    limit: int
    step: int
    rank: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How every request of a run is sampled. `seed` None leaves the draws to the engine."""

    group_size: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    groups_per_update: int = 1
    max_staleness: int = 0
    groups_ahead: int = 0
    """Groups that are sampled ahead of the update that waits for its own."""
    cuts: bool = False
    """Whether what still runs is cut when a step has its groups, and goes on in the next one."""


class Samplings:
    """The samplings of one request after another; a name is never given twice in a run."""

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._step = -1
        self._next_index: dict[str, int] = {}

    def __call__(self, request: Request) -> list[Sampling]:
        """One per completion. A prompt drawn twice in a step goes on with the next indices."""
        if request.step != self._step:
            self._step, self._next_index = request.step, {}
        first = self._next_index.get(request.prompt.id, 0)
        stop = first + self._settings.group_size
        self._next_index[request.prompt.id] = stop
        return [self._sampling(request, index) for index in range(first, stop)]

    def _sampling(self, request: Request, index: int) -> Sampling:
        settings, prompt_id, step = self._settings, request.prompt.id, request.step
        return Sampling(
            id=f"{step}/{prompt_id}/{index}",
            limit=request.limit,
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=None
            if settings.seed is None
            else completion_seed(settings.seed, prompt_id, index, step),
            priority=in_step(step, request.rank),
        )


def completion_seed(run_seed: int, prompt_id: str, index: int, step: int) -> int:
    """The seed of one completion, from run seed, prompt id, index and step."""
    return derived_seed(run_seed, prompt_id, index, step)
