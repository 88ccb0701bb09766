"""How likely each drafted token is to be accepted, learned online from what the engine accepted.

Flow: a drafter's `Proposal` -> `AcceptanceModel.predict`; after the step
`observe` keeps the accepted slots and each row's first rejection, and refits when it is time.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from rollout.drafting.goodput import Counts, positions
from rollout.drafting.logistic import fitted, sigmoid
from rollout.drafting.step_cost import Floats

SHARED_PRIOR = (0.5, 0.0, 0.0)
"""Slopes of log-odds, log match length and age before any evidence (the first is vLLM's)."""
POSITION_PRIOR = -0.2
"""Intercept of every draft position before any evidence (vLLM's)."""
SMALLEST_PROBABILITY = 0.01
"""Counts say 0 or 1 of a continuation that was seen once; nobody is as sure as that."""
RIDGE = 1e-2
DECAY_PER_STEP = 0.99
REFIT_EVERY = 256
"""Verified steps between two refits, unless the outcomes contradict the predictions."""
CONTRADICTION = 4.0
"""Standard deviations between accepted and predicted counts at which a refit cannot wait."""
SURPRISE_DECAY = 0.95
"""Per verified step: a contradiction shows in the newest 20."""
FEWEST_TO_CONTRADICT = 6
STEPS_BELIEVED = 8
"""On a contradiction the newest steps are believed, and older evidence is worth next to nothing."""
CONTRADICTED_WEIGHT = 0.002
CAPACITY = 2048
"""Decided slots that are kept, those of the newest steps; the newest is always kept whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One step's drafts: a chain, maybe empty, for each row that decodes; at least one row.

    `lengths` [rows] counts each row's drafts. `probabilities` [slots] is the drafter's own
    probability of each token after those before it. Per row, `match_lengths` [rows] counts the
    tokens that led to the chain and `ages` [rows] the weight versions since its source was sampled.
    `draft_seconds` is what drafting took.
    """

    lengths: Counts
    probabilities: Floats
    match_lengths: Counts
    ages: Floats
    draft_seconds: float


def shared_features(proposal: Proposal) -> Floats:
    """[slots, 3]: log-odds of the drafter's probability, log2(1 + match length), and the age."""
    owners = np.repeat(np.arange(len(proposal.lengths)), proposal.lengths)
    sure = np.clip(proposal.probabilities, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    log_odds = np.log(sure / (1 - sure))
    match_lengths = np.log2(1 + proposal.match_lengths)[owners]
    return np.stack([log_odds, match_lengths, proposal.ages[owners]], axis=1)


class AcceptanceModel:
    """P(accept) = sigmoid(shared slopes * features + intercept of the position).

    The model of vLLM 0.32's adaptive verification (acceptance_estimator.py) with the features of a
    drafter that counts. A chain has at most `most_drafts` slots.
    """

    def __init__(self, most_drafts: int) -> None:
        self._one_hot = np.eye(most_drafts)
        self._prior = np.array([*SHARED_PRIOR, *[POSITION_PRIOR] * most_drafts])
        self._coefficients = self._prior
        self._evidence: deque[_Evidence] = deque()
        self._num_slots = 0
        self._steps_since_fit = 0
        self._surprise = _Surprise()

    def predict(self, proposal: Proposal) -> Floats:
        """P(accept) of every slot whose predecessors are accepted [slots]."""
        return self._probabilities(shared_features(proposal), positions(proposal.lengths))

    def observe(self, proposal: Proposal, kept: Counts, accepted: Counts) -> None:
        """The engine verified `kept` [rows] slots and accepted `accepted` [rows] of them.

        A row that is gone has accepted -1 and says nothing. Slots behind a rejection were never
        decided and are left out.
        """
        if not kept.any():
            return
        position = positions(proposal.lengths)
        decided = position < np.repeat(np.minimum(kept, accepted + 1), proposal.lengths)
        if not decided.any():
            return
        is_accepted = position < np.repeat(accepted, proposal.lengths)
        outcomes = is_accepted[decided].astype(np.float64)
        shared, position = shared_features(proposal)[decided], position[decided]
        self._surprise.add(outcomes, self._probabilities(shared, position))
        self._remember(np.concatenate([shared, self._one_hot[position]], axis=1), outcomes)
        self._steps_since_fit += 1
        if self._surprise.contradicts():
            for evidence in list(self._evidence)[: -self._surprise.num_steps]:
                evidence.weight *= CONTRADICTED_WEIGHT
            self._refit()
        elif self._steps_since_fit >= REFIT_EVERY:
            self._refit()

    def age(self) -> None:
        """The weights change: intercepts go halfway back to the prior, evidence counts half."""
        position = slice(len(SHARED_PRIOR), None)
        halfway = self._coefficients.copy()
        halfway[position] = (halfway[position] + self._prior[position]) / 2
        self._coefficients = halfway
        for evidence in self._evidence:
            evidence.weight /= 2

    def _probabilities(self, shared: Floats, position: Counts) -> Floats:
        slopes, intercepts = np.split(self._coefficients, [len(SHARED_PRIOR)])
        return sigmoid(shared @ slopes + intercepts[position])

    def _remember(self, features: Floats, outcomes: Floats) -> None:
        self._evidence.append(_Evidence(features=features, outcomes=outcomes))
        self._num_slots += len(outcomes)
        while self._num_slots > CAPACITY and len(self._evidence) > 1:
            self._num_slots -= len(self._evidence.popleft().outcomes)

    def _refit(self) -> None:
        weights = np.array([evidence.weight for evidence in self._evidence])
        steps_ago = np.arange(len(self._evidence))[::-1]
        self._coefficients = fitted(
            np.concatenate([evidence.features for evidence in self._evidence]),
            np.concatenate([evidence.outcomes for evidence in self._evidence]),
            np.repeat(
                weights * DECAY_PER_STEP**steps_ago,
                [len(evidence.outcomes) for evidence in self._evidence],
            ),
            self._prior,
            RIDGE,
        )
        self._steps_since_fit = 0
        self._surprise = _Surprise()


@dataclass(slots=True, kw_only=True)
class _Evidence:
    """The decided slots of one verified step: features [slots, coefficients], outcomes [slots]."""

    features: Floats
    outcomes: Floats
    weight: float = 1.0


class _Surprise:
    """Accepted minus predicted count of the newest steps, against its standard deviation."""

    def __init__(self) -> None:
        self._believed: deque[int] = deque(maxlen=STEPS_BELIEVED)
        self._excess = 0.0
        self._variance = 0.0

    @property
    def num_steps(self) -> int:
        """The newest steps, those that are believed."""
        return len(self._believed)

    @property
    def num_slots(self) -> int:
        """Slots of these steps."""
        return sum(self._believed)

    def add(self, outcomes: Floats, predicted: Floats) -> None:
        fade = SURPRISE_DECAY
        self._believed.append(len(outcomes))
        self._excess = fade * self._excess + float((outcomes - predicted).sum())
        self._variance = fade**2 * self._variance + float((predicted * (1 - predicted)).sum())

    def contradicts(self) -> bool:
        enough = self.num_slots >= FEWEST_TO_CONTRADICT
        return enough and abs(self._excess) > CONTRADICTION * self._variance**0.5
