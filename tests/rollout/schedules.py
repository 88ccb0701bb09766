"""Runs of the real stream over the real supervisor in virtual time, drawn from a seed, and checked.

Flow: `drawn(seed)` -> `play(schedule)`: a loop submits, takes batches, learns for a while and
publishes, while engines of few slots sample answers of a heavy tail, die, hang and start again,
graders fail, and groups are uniform. `play` raises AssertionError where a rule of the stream is
broken; `synchronous(schedule)` says what a run of staleness 0 has to train on.
"""

import asyncio
import itertools
import math
import random
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from data.types import Finish, Prompt, Verdict
from rollout.books import Fate
from rollout.engine import independently
from rollout.recovery import Patience
from rollout.samplings import Request, StreamSettings, completion_seed
from rollout.scheduling.oversample import groups_ahead
from rollout.stream import GraderError, Stream
from rollout.supervisor import Started, Supervisor
from rollout.windows.engine import WindowedEngine
from rollout.windows.pool import WindowPool
from tests.rollout.timed_engine import TimedEngine, Weights
from tests.virtual_time import VirtualLoop, supervised_in_virtual_time

LIMIT = 200
MOST_ROUNDS = 60
MOST_SECONDS = 5_000.0
RUN_SEED = 5
VERDICTS = {"None": None, "True": True, "False": False}
PROMPTS = [Prompt(id=f"p{i}", messages=(), token_ids=np.array([1]), answer="") for i in range(5)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One run. Lengths are in tokens of 0.1 s; the chances are per completion or per step."""

    seed: int
    max_staleness: int
    num_steps: int
    num_groups: int
    group_size: int
    slots: int
    sigma: float
    differ: float
    oversampling: float
    grader_fails: float
    aborts: float
    engine_dies: float
    closes_early: bool
    oversample: float = 1.0
    """Above 1 every step is cut when it has its groups."""


def drawn(seed):
    """A schedule; the same for the same seed."""
    draw = random.Random(seed)
    return Schedule(
        seed=seed,
        max_staleness=draw.choice([0, 0, 1, 1, 2, 3]),
        num_steps=draw.randint(2, 5),
        num_groups=draw.randint(1, 4),
        group_size=draw.randint(2, 3),
        slots=draw.choice([1, 3, 8, 100]),
        sigma=draw.choice([0.0, 0.5, 1.5]),
        differ=draw.choice([0.4, 0.8, 1.0]),
        oversampling=draw.choice([1.0, 1.5]),
        grader_fails=draw.choice([0.0, 0.0, 0.03]),
        aborts=draw.choice([0.0, 0.0, 0.03]),
        engine_dies=draw.choice([0.0, 0.0, 0.3]),
        closes_early=draw.random() < 0.1,
    )


def play(schedule, build=Stream):
    """The batches that the run trained on; raises AssertionError where a rule is broken."""
    loop = VirtualLoop(schedule.seed, MOST_SECONDS)
    with supervised_in_virtual_time(loop):
        run = _Run(schedule, loop, build)
        try:
            run.train()
        except GraderError:
            assert run.stream.fates[Fate.GRADER_FAILED] > 10
        finally:
            run.close()
    run.check_fates()
    return run.batches


def answer(schedule, seed, version):
    """(tokens [T], finish, verdict): what a request gets from these weights, whenever it runs."""
    draw = random.Random(f"{schedule.seed}/{seed}/{version}")
    num_tokens = min(LIMIT, 1 + int(10 * draw.lognormvariate(0.0, schedule.sigma)))
    finish = Finish.ABORTED if draw.random() < schedule.aborts else Finish.STOP
    failed = draw.random() < schedule.grader_fails
    correct = None if failed else draw.random() < 0.5
    first = draw.randrange(1_000_000)
    return list(range(first, first + num_tokens)), finish, Verdict(correct=correct)


def verdict_of(token_ids):
    """The text of an answer that was cut: a verdict, whatever the grader would have said."""
    return str(bool(token_ids[-1] % 2))


def differs(schedule, prompt_id, step, verdicts):
    """Dynamic sampling, by the verdicts or by a coin per prompt and step."""
    coin = random.Random(f"{schedule.seed}/{prompt_id}/{step}").random() < schedule.differ
    return coin or len({verdict.correct for verdict in verdicts}) > 1


def drawn_for(schedule, missing):
    """Prompts to draw for groups that are missing; a synchronous run draws some to spare."""
    spare = schedule.oversampling if schedule.max_staleness == 0 else 1.0
    return math.ceil(missing * spare)


def synchronous(schedule):
    """Per step the answers of each group [(prompt id, tokens of each completion)], one by one."""
    trained, prompts = [], itertools.cycle(PROMPTS)
    for step in range(schedule.num_steps):
        batch, next_index = [], Counter()
        while missing := schedule.num_groups - len(batch):
            drawn_now = itertools.islice(prompts, drawn_for(schedule, missing))
            groups = [_sampled(schedule, step, prompt.id, next_index) for prompt in drawn_now]
            batch += [group for group in groups if group is not None][:missing]
        trained.append(batch)
    return trained


def _sampled(schedule, step, prompt_id, next_index):
    """A group's prompt id and tokens, or None when it is dropped."""
    group, verdicts = [], []
    for _ in range(schedule.group_size):
        seed = completion_seed(RUN_SEED, prompt_id, next_index[prompt_id], step)
        next_index[prompt_id] += 1
        tokens, finish, verdict = answer(schedule, seed, step)
        if finish is not Finish.ABORTED and verdict.correct is not None:
            group.append(tokens)
            verdicts.append(verdict)
    kept = len(group) >= 2 and differs(schedule, prompt_id, step, verdicts)
    return (prompt_id, group) if kept else None


def answers(batches):
    """The batches of a run in the shape of `synchronous`."""
    return [
        [(j.group.prompt.id, [c.token_ids.tolist() for c in j.group.completions]) for j in batch]
        for batch in batches
    ]


@dataclass
class _Ledger:
    """What the harness itself saw of every completion, to hold the books against."""

    submitted: set = field(default_factory=set)
    judged: set = field(default_factory=set)
    aborted: set = field(default_factory=set)
    lost: set = field(default_factory=set)
    fates: dict = field(default_factory=dict)

    def tell(self, record):
        assert record.id in self.submitted, f"{record.id} has a fate and was never submitted"
        assert record.id not in self.fates, f"{record.id} has two fates"
        self.fates[record.id] = record.fate

    def reissued(self, lost_id, fresh_id):
        assert lost_id in self.submitted and fresh_id not in self.submitted
        self.lost.add(lost_id)
        self.submitted.add(fresh_id)

    @property
    def num_running(self):
        return len(self.submitted - self.judged - self.aborted - self.lost)


class _Run:
    """The loop of a training run over one stream; it learns by sleeping."""

    def __init__(self, schedule, loop, build):
        self.schedule, self.loop = schedule, loop
        self.draw = random.Random(f"run {schedule.seed}")
        self.ledger, self.batches, self.num_drawn, self.version = _Ledger(), [], 0, 0
        patience = Patience(hang_seconds=5.0, max_restarts=1000, window_seconds=10.0)
        self.engine = Supervisor(
            self.start_engine(0), self.start_engine, self.publish_to, loop, patience
        )
        cuts = schedule.oversample > 1
        self.windows = WindowedEngine(self.engine, WindowPool(LIMIT, verdict_of)) if cuts else None
        ahead = schedule.max_staleness * schedule.num_groups
        self.stream = build(
            self.engine,
            self.verify,
            self.keep,
            self.engine,
            StreamSettings(
                group_size=schedule.group_size,
                seed=RUN_SEED,
                groups_per_update=schedule.num_groups,
                max_staleness=schedule.max_staleness,
                groups_ahead=groups_ahead(schedule.num_groups, schedule.oversample)
                if cuts
                else ahead,
                cuts=cuts,
            ),
            self.ledger.tell,
            sample_group=self.sample_group,
            windows=self.windows,
        )
        self.engine.on_reissue = self.on_reissue

    def train(self):
        for step in range(self.schedule.num_steps):
            if self.schedule.closes_early and step == 1:
                self.submit(step, self.stream.room(self.schedule.num_steps))
                self.wait(1.0)
                return
            batch = self.roll_out(step)
            self.check(batch, step)
            self.batches.append(batch)
            self.learn()
            self.version = step + 1
            self.publish_to(self.engine, self.version)

    def roll_out(self, step):
        batch, num_groups = [], self.schedule.num_groups
        for _ in range(MOST_ROUNDS):
            room = self.stream.room(self.schedule.num_steps - step - 1)
            self.submit(step, drawn_for(self.schedule, room))
            batch += self.stream.next_batch(num_groups - len(batch), version=step)
            if len(batch) == num_groups:
                self.stream.end_step()
                self.check_dropped()
                return batch
        raise AssertionError(f"step {step}: {len(batch)} of {num_groups} groups came")

    def submit(self, step, count):
        first, self.num_drawn = self.num_drawn, self.num_drawn + count
        prompts = [PROMPTS[i % len(PROMPTS)] for i in range(first, self.num_drawn)]
        self.stream.submit([Request(prompt=p, limit=LIMIT, step=step) for p in prompts])

    def learn(self):
        self.wait(self.draw.expovariate(1 / self.draw.choice([0.1, 3.0, 20.0])))

    def check(self, batch, step):
        oldest = step - self.schedule.max_staleness
        for judged in batch:
            for completion, verdict in zip(judged.group.completions, judged.verdicts, strict=True):
                age = min(span.weight_version for span in completion.spans)
                assert age >= oldest, f"{completion.id}: weights {age} trained in step {step}"
                assert verdict.correct is not None
                fate = self.ledger.fates.get(completion.id)
                assert fate is Fate.TRAINED, f"{completion.id} is trained on, its fate is {fate}"
        self.check_books()

    def check_dropped(self):
        """Nothing grows too old, and a synchronous step leaves nothing behind."""
        fates = self.ledger.fates
        assert Fate.STALE not in fates.values(), "a group went stale"
        open_ones = self.ledger.submitted - set(fates)
        assert self.schedule.max_staleness or not open_ones, f"without a fate: {sorted(open_ones)}"

    def check_books(self):
        self.loop.run_ready()
        assert self.stream.running == self.ledger.num_running, "the books do not balance"

    def close(self):
        self.loop.run_ready()
        self.stream.close()
        self.engine.shutdown()

    def check_fates(self):
        without = self.ledger.submitted - set(self.ledger.fates)
        assert not without, f"without a fate: {sorted(without)}"
        assert Counter(self.ledger.fates.values()) == Counter(self.stream.fates)
        trained = [c.id for b in self.batches for j in b for c in j.group.completions]
        assert len(trained) == len(set(trained)), "a completion is trained on twice"

    def wait(self, seconds):
        self.loop.run(asyncio.sleep(seconds))

    def sample_group(self, engine, prompt, samplings):
        self.ledger.submitted.update(sampling.id for sampling in samplings)
        return [self.watched(answer) for answer in independently(engine, prompt, samplings)]

    async def watched(self, answer):
        completion = await answer
        if completion.finish is Finish.ABORTED:
            self.ledger.aborted.add(completion.id)
        return completion

    def on_reissue(self, lost_id, fresh_id):
        if self.windows is None:
            self.ledger.reissued(lost_id, fresh_id)
        self.stream.reissued(lost_id, fresh_id)

    def answer(self, sampling, version):
        tokens, finish, verdict = answer(self.schedule, sampling.seed, version)
        if len(tokens) > sampling.limit:
            tokens, finish = tokens[: sampling.limit], Finish.LIMIT
        return tokens, str(verdict.correct), finish

    async def verify(self, prompt, completion):
        await asyncio.sleep(self.draw.choice([0.0, 0.1, 2.0]))
        self.ledger.judged.add(completion.id)
        return Verdict(correct=VERDICTS[completion.text])

    def keep(self, group, verdicts):
        step = int(group.completions[0].id.split("/")[0])
        return differs(self.schedule, group.prompt.id, step, verdicts)

    def start_engine(self, version):
        if version:
            self.wait(2.0)
        engine = TimedEngine(self.loop, self.schedule.slots, self.answer)
        if self.draw.random() < self.schedule.engine_dies:
            end = self.draw.choice([engine.die, engine.hang])
            self.loop.call_later(self.draw.uniform(0.1, 60.0), end)
        return Started(engine=engine, transfer=Weights(engine))

    def publish_to(self, transfer, version):
        transfer.start()
        transfer.finish(version)
