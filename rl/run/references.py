"""Recorded answers of the initial policy: made once, held against the run, then trained on

One file: the settings that the answers depend on, then the judged group of every prompt.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data.references import Reference, References
from data.types import Group, Prompt
from rl.config import RunConfig
from rl.disk import sync
from rl.learner.ranks import LearnerGroup
from rl.limits.limit import Limit
from rl.run.identity import differences, identity
from rl.run.probe import PROBE_PROMPTS, TOLERANCE, ProbeError, max_logprob_gap
from rollout.config import RecordingConfig
from rollout.replay import Recording, read, read_settings
from rollout.samplings import Request
from rollout.stream import GraderError, Judged, Stream

FILE = "reference.recording"
"""Its name in the folder of a run that records for itself."""

MADE_WITH = (
    "model.path", "model.revision", "model.dtype", "verifier", "reward.functions", "limit",
    "rollout.temperature", "rollout.top_p", "rollout.samples_per_prompt",
)  # fmt: skip
"""Keys, or sections, that recorded answers and verdicts depend on, beside the prompts."""

COMPLETIONS_AT_ONCE = 4096
"""Asked of the engine together while recording, and then written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a run trains on: the first `algorithm.group_size` answers of each of its prompts."""

    judged: Sequence[Judged]
    references: References


def settings_of(config: RunConfig) -> dict[str, Any]:
    """The settings that recorded answers depend on, by full key."""
    return {
        key: value
        for key, value in identity(config).items()
        if any(key == name or key.startswith(f"{name}.") for name in MADE_WITH)
    }


def record(
    path: Path,
    config: RunConfig,
    stream: Stream,
    limit: Limit,
    prompts: Sequence[Prompt],
    heard: Callable[[int], None] = lambda num_prompts: None,
) -> None:
    """Writes a judged group of every prompt to `path`, whole or not at all.

    All are sampled under the limit of step 0. `stream` samples `rollout.samples_per_prompt` answers
    each; `heard` is told how many prompts are done. Raises FileExistsError rather than write over a
    file, `GraderError` when a prompt is left with fewer verdicts than are trained on.
    """
    assert isinstance(config.rollout, RecordingConfig), "other recipes have nothing to record"
    if path.exists():
        raise FileExistsError(f"{path} exists, and a recording is never written over")
    at_once = max(1, COMPLETIONS_AT_ONCE // config.rollout.samples_per_prompt)
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with Recording(partial, settings_of(config)) as file:
        for start in range(0, len(prompts), at_once):
            some = prompts[start : start + at_once]
            stream.submit(Request(prompt=p, limit=limit.limit(p, 0), step=0) for p in some)
            judged = stream.next_batch(len(some), version=0)
            check_graded(judged, some, config.algorithm.group_size)
            file.write(0, judged)
            heard(start + len(some))
    sync(partial)
    partial.rename(path)
    sync(path.parent)


def check_graded(judged: Sequence[Judged], prompts: Sequence[Prompt], num_trained: int) -> None:
    """Raises `GraderError` when a prompt has fewer verdicts than are trained on."""
    counts = {each.group.prompt.id: len(each.verdicts) for each in judged}
    short = [prompt.id for prompt in prompts if counts.get(prompt.id, 0) < num_trained]
    if short:
        raise GraderError(
            f"the grader failed so often on {len(short)} prompts, first {short[0]}, that fewer "
            f"than algorithm.group_size={num_trained} answers have a verdict; raise "
            "verifier.timeout_seconds or rollout.samples_per_prompt, or leave these prompts out"
        )


def read_recording(path: Path, config: RunConfig, prompts: Sequence[Prompt]) -> Recorded:
    """The recorded answers to `prompts`; ValueError with all that makes it another run's."""
    given = f"rollout.recording={path}"
    if not path.is_file():
        raise ValueError(
            f"{given}: there is no such file; make it by `laconic record RECIPE --to {path}`, or "
            "set rollout.recording='' to record at the start of the run"
        )
    was, present = differences(read_settings(path), settings_of(config))
    found = [f"it was made with {was}, and this run has {present}"] if was else []
    wanted = {prompt.id: prompt for prompt in prompts}
    judged, references, changed = {}, {}, []
    for each in (judged for batch in read(path) for judged in batch.judged):
        name = each.group.prompt.id
        if name in wanted:
            judged[name] = first_of(each, config.algorithm.group_size)
            references[name] = reference_of(each, config.algorithm.group_size)
            changed += [] if same_question(each.group.prompt, wanted[name]) else [name]
    if missing := [name for name in wanted if name not in judged]:
        found.append(f"it lacks {len(missing)} of {len(wanted)} prompts, first {missing[0]}")
    if changed:
        found.append(
            f"{len(changed)} of {len(wanted)} prompts read otherwise or have another answer, "
            f"first {changed[0]}"
        )
    if found:
        raise ValueError(
            f"{given} is of another run: {'; '.join(found)}. Record again with `laconic record "
            "RECIPE --to FILE`, or set what the recording was made with"
        )
    return Recorded(judged=list(judged.values()), references=references)


def same_question(one: Prompt, other: Prompt) -> bool:
    """Whether both read the same to the policy and have the same answer."""
    return one.token_ids.tolist() == other.token_ids.tolist() and one.answer == other.answer


def reference_of(judged: Judged, num_trained: int) -> Reference:
    """What the initial policy was like on the group's prompt."""
    return Reference(
        lengths=tuple(judged.group.lengths),
        correct=tuple(bool(verdict.correct) for verdict in judged.verdicts),
        num_trained=num_trained,
    )


def first_of(judged: Judged, num: int) -> Judged:
    """The first `num` completions of a group, with their verdicts; draws are independent."""
    group = Group(prompt=judged.group.prompt, completions=judged.group.completions[:num])
    return replace(judged, group=group, verdicts=judged.verdicts[:num])


def check_logprobs(recorded: Recorded, config: RunConfig, learner: LearnerGroup) -> None:
    """Raises `ProbeError` when the model gives recorded tokens other log-probs than were recorded.

    The learner must hold the initial weights: the settings name the model, the log-probs prove it.
    """
    rollout = config.rollout
    tolerance = rollout.probe_tolerance or TOLERANCE[config.model.dtype]
    gap = max_logprob_gap([each.group for each in recorded.judged[:PROBE_PROMPTS]], learner)
    if not gap <= tolerance:
        raise ProbeError(
            f"the recording gives its tokens other log-probs than model.path={config.model.path}, "
            f"by up to {gap:.3g} (allowed {tolerance:.3g}): it was made by other weights; record "
            "again with `laconic record RECIPE --to FILE`"
        )
