"""Our rewards as `reward_funcs` of TRL's `GRPOTrainer` (1.16); TRL itself is not imported.

    args = GRPOConfig(num_generations=8, per_device_train_batch_size=64, ...)
    verifier = MathVerifier(make_pool(MathConfig()))
    shaped = group_reward_func(build_reward(SigmoidConfig()), verifier, args,
                               eos_token_ids=[tokenizer.eos_token_id])
    GRPOTrainer(model, reward_funcs=shaped, args=args, train_dataset=...)

Flow: completions of a process -> verdicts -> (gather) -> groups of `num_generations` -> reward ->
one number per completion, None where the grader failed: TRL leaves such a completion out.

TRL tells less than our loop does. What is made of it:
- There is no finish reason: a completion that does not end with an end-of-sequence token is
  truncated. Completions with tool calls are refused, their tokens were not all sampled.
- A process is given its slice. A length formula needs whole groups (`group_reward_func`); a gate,
  or a reward that remembers prompts, needs the whole batch (`batch_reward_func`).
Where the slice is not enough, a ValueError names the settings of `GRPOConfig` to change.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Protocol

import numpy as np

from data.columns import ANSWER_COLUMNS, source_of, value_at
from data.drafts import answer_of, extra_of, messages_of
from data.types import Completion, Finish, Group, Prompt, Score, Span, Verdict, prompt_id
from data.wire import decode, encode
from rewards.background import start_loop, wait_for
from rewards.protocols import Reward, Verifier

Gather = Callable[[list[bytes]], list[bytes]]
"""Concatenates the lists of all processes, by rank: `accelerate.utils.gather_object`."""


class GrpoArguments(Protocol):
    """The settings of TRL's `GRPOConfig` that decide what a reward function is given."""

    num_generations: int
    num_generations_eval: int | None
    per_device_train_batch_size: int
    steps_per_generation: int
    max_completion_length: int

    @property
    def world_size(self) -> int: ...

    @property
    def process_index(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A judged completion, and the process that TRL gave it to."""

    process: int
    prompt: Prompt
    completion: Completion
    verdict: Verdict


def group_reward_func(
    reward: Reward, verifier: Verifier, args: GrpoArguments, eos_token_ids: Sequence[int]
) -> "TrlReward":
    """`reward` on the groups of each process: for formulas made by `with_length`.

    Raises ValueError where a process is not given whole groups.
    """
    given = args.per_device_train_batch_size * args.steps_per_generation
    if given % args.num_generations:
        raise ValueError(
            f"per_device_train_batch_size={args.per_device_train_batch_size} with "
            f"steps_per_generation={args.steps_per_generation}: each process is given {given} "
            f"completions, which are not whole groups of num_generations={args.num_generations}; "
            f"make the product of the two a multiple of {args.num_generations}"
        )
    return _trl_reward(reward, verifier, args, eos_token_ids, gather=list)


def batch_reward_func(
    reward: Reward,
    verifier: Verifier,
    args: GrpoArguments,
    eos_token_ids: Sequence[int],
    gather: Gather | None = None,
) -> "TrlReward":
    """`reward` on the whole batch: for gates, and for rewards that remember prompts.

    With `gather` every process brings its part, and all compute the same scores. Raises ValueError
    where there are several processes and no `gather`.
    """
    if args.world_size > 1 and gather is None:
        raise ValueError(
            f"{args.world_size} processes: each is given a part of the batch, and this reward "
            "ranks or remembers the whole of it; pass gather=accelerate.utils.gather_object, or "
            "train in one process with per_device_train_batch_size or steps_per_generation "
            f"{args.world_size} times as large"
        )
    return _trl_reward(reward, verifier, args, eos_token_ids, gather=gather or list)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrlReward:
    """What `GRPOTrainer` calls. Made by `group_reward_func` and `batch_reward_func`.

    It is synchronous, because `gather` is a collective of the main thread; answers are verified on
    `loop`, all at once.
    """

    reward: Reward
    verifier: Verifier
    args: GrpoArguments
    eos_token_ids: frozenset[int]
    gather: Gather
    loop: asyncio.AbstractEventLoop

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        trainer_state: Any = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Sequence[Any],
    ) -> list[float | None]:
        """The total scores; the means of their parts go to `log_metric`."""
        step = 0 if trainer_state is None else int(trainer_state.global_step)
        rows = [{name: values[i] for name, values in columns.items()} for i in range(len(prompts))]
        read = [_prompt(prompt, row) for prompt, row in zip(prompts, rows, strict=True)]
        sampled = [
            self._completion(read[i], i, _text(completions[i]), ids, step)
            for i, ids in enumerate(completion_ids)
        ]
        verdicts = wait_for(self.loop, self._judge(read, sampled))
        own = [
            encode(Sample(process=self.args.process_index, prompt=p, completion=c, verdict=v))
            for p, c, v in zip(read, sampled, verdicts, strict=True)
        ]
        samples = [decode(payload, Sample) for payload in self.gather(own)]
        scores = scores_of(samples, self.reward, self.args.num_generations)
        mine = [
            score
            for sample, score in zip(samples, scores, strict=True)
            if sample.process == self.args.process_index
        ]
        if log_metric is not None:
            _log_parts(mine, log_metric)
        return [None if score is None else score.total for score in mine]

    async def _judge(self, prompts: list[Prompt], completions: list[Completion]) -> list[Verdict]:
        judging = (self.verifier(p, c) for p, c in zip(prompts, completions, strict=True))
        return await asyncio.gather(*judging)

    def _completion(
        self, prompt: Prompt, index: int, text: str, ids: Sequence[int], step: int
    ) -> Completion:
        ended = len(ids) > 0 and int(ids[-1]) in self.eos_token_ids
        return Completion(
            id=f"{prompt.id}/{step}/{self.args.process_index}/{index}",
            text=text,
            token_ids=np.array(ids, np.int32),
            # TRL does not hand them out, and no reward reads them.
            logprobs=np.full(len(ids), np.nan, np.float32),
            limit=self.args.max_completion_length,
            finish=Finish.STOP if ended else Finish.LIMIT,
            spans=(Span(start=0, stop=len(ids), weight_version=step),),
        )


def scores_of(
    samples: Sequence[Sample], reward: Reward, num_generations: int
) -> list[Score | None]:
    """The score of each sample, of which every `num_generations` in a row are one group.

    None where the grader failed, and in groups where it left fewer than two. Raises ValueError
    where the samples are not whole groups.
    """
    groups, verdicts, places = [], [], []
    for place in _blocks(samples, num_generations):
        judged = [i for i in place if samples[i].verdict.correct is not None]
        if len(judged) < 2:
            continue
        completions = tuple(samples[i].completion for i in judged)
        groups.append(Group(prompt=samples[judged[0]].prompt, completions=completions))
        verdicts.append([samples[i].verdict for i in judged])
        places += judged
    scores: list[Score | None] = [None] * len(samples)
    if groups:
        flat = [score for group in reward(groups, verdicts) for score in group]
        for i, score in zip(places, flat, strict=True):
            scores[i] = score
    return scores


def _blocks(samples: Sequence[Sample], num_generations: int) -> list[range]:
    if len(samples) % num_generations:
        raise ValueError(
            f"TRL gave {len(samples)} completions, which are not whole groups of "
            f"num_generations={num_generations}; set per_device_train_batch_size * "
            f"steps_per_generation, and per_device_eval_batch_size, to multiples of "
            f"{num_generations}"
        )
    blocks = [range(i, i + num_generations) for i in range(0, len(samples), num_generations)]
    for block in blocks:
        if len({samples[i].prompt.id for i in block}) > 1:
            raise ValueError(
                f"completions {block.start + 1} to {block.stop} are of several prompts, and "
                f"num_generations={num_generations} should be of one; give the reward the "
                "GRPOConfig of the trainer, leave num_generations_eval unset, and set "
                f"per_device_eval_batch_size to a multiple of {num_generations}"
            )
    return blocks


def _trl_reward(
    reward: Reward,
    verifier: Verifier,
    args: GrpoArguments,
    eos_token_ids: Sequence[int],
    gather: Gather,
) -> TrlReward:
    if args.num_generations_eval not in (None, args.num_generations):
        raise ValueError(
            f"num_generations_eval={args.num_generations_eval} with num_generations="
            f"{args.num_generations}: TRL does not say which of them a batch has; leave "
            "num_generations_eval unset"
        )
    if not eos_token_ids:
        raise ValueError("eos_token_ids is empty: pass [tokenizer.eos_token_id]")
    return TrlReward(
        reward=reward,
        verifier=verifier,
        args=args,
        eos_token_ids=frozenset(eos_token_ids),
        gather=gather,
        loop=start_loop("laconic reward"),
    )


def _prompt(prompt: Any, row: Mapping[str, Any]) -> Prompt:
    """Its id is ours where the row says its source, as rows of the lab and of verl do."""
    column = next((name for name in ANSWER_COLUMNS if value_at(row, name) is not None), None)
    if column is None:
        raise ValueError(
            f"the dataset has the columns prompt, {', '.join(row)}, and none with answers; name "
            f"one {' or '.join(ANSWER_COLUMNS)}"
        )
    messages, source = messages_of(prompt, "prompt"), source_of(row, "")
    return Prompt(
        id=prompt_id(source, messages),
        messages=messages,
        token_ids=np.zeros(0, np.int32),
        answer=answer_of(value_at(row, column), column),
        source=source,
        extra=extra_of(row),
    )


def _text(completion: Any) -> str:
    """What the policy wrote; TRL gives text, or messages where prompts are messages."""
    if isinstance(completion, str):
        return completion
    contents = [message.get("content") for message in completion]
    if len(contents) != 1 or not isinstance(contents[0], str):
        raise ValueError(
            f"a completion of {len(contents)} messages: tool calls and images have no length in "
            "sampled tokens; use a trainer without tools"
        )
    return contents[0]


def _log_parts(scores: Sequence[Score | None], log_metric: Callable[[str, float], None]) -> None:
    scored = [score for score in scores if score is not None]
    log_metric("reward/failed", float(len(scores) - len(scored)))
    for part in sorted({name for score in scored for name in score.parts}):
        values = [score.parts[part] for score in scored if part in score.parts]
        log_metric(f"rewards/{part}/mean", fmean(values))
