"""Prints a finished run's seconds per step beside what the simulator makes of the same answers.

    python scripts/simulate_run.py runs/RUN
    python scripts/simulate_run.py runs/RUN --costs runs/OTHER

The lengths are the run's own, in their order (`history.jsonl`); T(B) is fitted to the requests of
its latest step (`timeline.jsonl`), the learner's seconds are means over its steps. `--costs` takes
both from another run: what the simulator would have said before RUN was there; an asynchronous run
needs it, for its latest step samples nothing. The first steps, in which the pipe fills, and the
last, in which it empties, are left out.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import msgspec
import numpy as np
from numpy.typing import NDArray

from rl.run.guards import Row, read_history
from rl.run.record import read_run
from rl.run.timeline import read_timeline
from rollout.books import Fate
from rollout.simulation.cluster import Cluster, Workload
from rollout.simulation.fit import Ran, admitted, fitted_decode
from rollout.simulation.lengths import replayed
from rollout.simulation.replica import affine
from rollout.simulation.simulator import simulate
from rollout.timeline import Activity, Kind


class Line(msgspec.Struct):
    """What is read of a line of history.jsonl."""

    id: str
    fate: Fate
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds of a decode step of B sequences, a + b B, and of the learner's part of a step."""

    decode_base: float
    decode_sequence: float
    learner: float
    publish: float
    learner_tokens_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is compared."""

    seconds_per_step: float
    engine_idle_share: float
    tokens_per_second: float


def main() -> None:
    asked = parser().parse_args()
    costs = costs_of(asked.costs or asked.run)
    measured, simulated = compared(asked.run, costs)
    print(
        f"T(B) = {1e3 * costs.decode_base:.2f} ms + {1e3 * costs.decode_sequence:.4f} ms B, "
        f"learner {costs.learner:.2f} s a step ({costs.learner_tokens_per_second:.0f} tokens/s), "
        f"publication {costs.publish:.2f} s"
    )
    for name in Figures.__slots__:
        real, made = getattr(measured, name), getattr(simulated, name)
        off = f"{made / real - 1:+.0%}" if real else "-"
        print(f"{name:>20}  measured {real:10.3f}  simulated {made:10.3f}  {off}")


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("run", type=Path, help="the folder of a run without windows or trees")
    found.add_argument("--costs", type=Path, help="the folder of the run that costs are read off")
    return found


def compared(folder: Path, costs: Costs) -> tuple[Figures, Figures]:
    """The run as it was, and as it is simulated with `costs`."""
    config = read_run(folder).config
    rollout, group_size = config["rollout"], config["algorithm"]["group_size"]
    ahead = rollout["max_staleness"]
    steps = read_history(folder)
    counted = steps[ahead + 1 : len(steps) - ahead]
    report = simulate(
        Cluster(
            num_replicas=rollout.get("replicas", 1),
            max_running=rollout["max_num_seqs"],
            decode_seconds=affine(costs.decode_base, costs.decode_sequence),
            learner_seconds=costs.learner,
            publish_seconds=costs.publish,
        ),
        Workload(
            num_groups=config["prompts_per_step"],
            group_size=group_size,
            lengths=replayed(trained_lengths(folder, group_size)),
            max_staleness=ahead,
        ),
        num_steps=len(counted),
        seed=0,
    )
    simulated = Figures(
        seconds_per_step=report.seconds_per_step,
        engine_idle_share=report.engine_idle_share,
        tokens_per_second=report.tokens_per_second,
    )
    return measured(counted), simulated


def measured(steps: Sequence[Row]) -> Figures:
    """Means over time, as the simulator's are."""
    seconds = sum(row["step_time"] for row in steps)
    idle = sum(row["rollout/idle_share"] * row["step_time"] for row in steps)
    return Figures(
        seconds_per_step=seconds / len(steps),
        engine_idle_share=idle / seconds,
        tokens_per_second=sum(row["step_tokens"] for row in steps) / seconds,
    )


def costs_of(folder: Path) -> Costs:
    """What the engine and the learner of a run took; its first step, which warms up, left out."""
    config, steps = read_run(folder).config, read_history(folder)[1:]
    tokens = {line.id: line.tokens for line in lines(folder)}
    ran = admitted(requests(read_timeline(folder), tokens), config["rollout"]["max_num_seqs"])
    if not any(each.num_tokens for each in ran):
        raise ValueError(
            f"{folder}: its latest step holds no request from beginning to end, as the last steps "
            "of an asynchronous run do; give the folder of a synchronous one as --costs"
        )
    base, slope = fitted_decode(ran)
    learning = fmean(row["time/learn"] for row in steps)
    beside = fmean(row["time/score"] + row.get("time/probe", 0.0) for row in steps)
    return Costs(
        decode_base=base,
        decode_sequence=slope,
        learner=learning + beside,
        publish=fmean(row["time/sync"] for row in steps),
        learner_tokens_per_second=fmean(row["step_tokens"] for row in steps) / learning,
    )


def requests(activities: Sequence[Activity], tokens: dict[str, int]) -> list[Ran]:
    """The requests of a stretch; those that were cut off by it share their start or their end."""
    ran = [each for each in activities if each.kind is Kind.GENERATE]
    starts, ends = Counter(each.start for each in ran), Counter(each.end for each in ran)
    return [
        Ran(
            start=each.start,
            end=each.end,
            num_tokens=tokens.get(each.name, 0) if starts[each.start] == ends[each.end] == 1 else 0,
        )
        for each in ran
    ]


def trained_lengths(folder: Path, group_size: int) -> NDArray[np.int64]:
    """Tokens [N, G] of the groups that were trained on, in that order; whole ones only."""
    groups: dict[str, list[int]] = {}
    for line in lines(folder):
        if line.fate is Fate.TRAINED:
            groups.setdefault(line.id.rpartition("/")[0], []).append(line.tokens)
    return np.array([group for group in groups.values() if len(group) == group_size])


def lines(folder: Path) -> list[Line]:
    return msgspec.json.Decoder(Line).decode_lines((folder / "history.jsonl").read_bytes())


if __name__ == "__main__":
    main()
