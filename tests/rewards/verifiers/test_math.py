"""The math verifier against math_verify itself, and what makes it faster."""

import asyncio
import sys
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from data.types import Finish, Verdict
from rewards.pool import WorkerPool
from rewards.verifiers.latex import equal
from rewards.verifiers.math import MathVerifier, integers_equal
from tests.rewards.groups import completion, prompt
from tests.rewards.pools import with_own_pool, with_pool

NEVER_ENDS = r"\boxed{9^{9^{9^9}}}"


def judge_all(pairs, **options):
    """Verdicts of (reference, text) pairs, asked for all at once."""

    return with_pool(partial(judging, pairs), **options)


async def judging(pairs, pool):
    verifier = MathVerifier(pool)
    return await asyncio.gather(
        *(verifier(prompt("p", ref), completion("c", 3, text)) for ref, text in pairs)
    )


integers = st.one_of(
    st.integers(-3, 3), st.integers(-(10**12), 10**12), st.integers(10**8 - 3, 10**8 + 3)
).map(str)


@settings(deadline=None, max_examples=60)
@given(integers, integers | st.sampled_from(["007", "-0", "1.0", "+1", "1,000", "x"]))
def test_the_short_cut_for_integers_agrees_with_math_verify(reference, answer):
    short = integers_equal(reference, answer)
    assert short is None or short == equal(reference, answer)


def test_short_cut_covers_plain_integers_only():
    assert integers_equal("7", "7") is True
    assert integers_equal("-12", "12") is False
    assert [integers_equal("7", a) for a in ["07", "7.0", "+7", "-0", " 7", "1234567890"]] == [
        None
    ] * 6


def test_equal_expressions_are_correct_and_others_are_wrong():
    pairs = [
        ("1/2", r"\boxed{0.5}"),
        (r"\frac{1}{2}", r"</think>\boxed{\frac12}"),
        ("$x+1$", r"\boxed{1+x}"),
        (r"worked out: \boxed{8}", r"\boxed{8}"),
        ("1/2", r"\boxed{\frac13}"),
        ("7", r"\boxed{8}"),
        ("7", "7"),
    ]
    verdicts = judge_all(pairs)
    assert [v.correct for v in verdicts] == [True, True, True, True, False, False, False]


def test_an_answer_that_never_ends_fails_alone_and_its_worker_is_replaced():
    pairs = [("1/2", NEVER_ENDS), ("1/2", r"\boxed{\frac12}"), ("1/3", r"\boxed{\frac13}")]
    verdicts = judge_all(pairs, timeout_seconds=1.5)
    assert verdicts[0] == Verdict(correct=None, reason="timed out: no result within 1.5 s")
    assert [v.correct for v in verdicts[1:]] == [True, True]


def test_a_reference_that_cannot_be_read_is_the_graders_failure():
    verdicts = judge_all([("$$", r"\boxed{x}")])
    assert verdicts[0].correct is None
    assert "reference answer" in verdicts[0].reason


def test_an_answer_is_never_run_as_python(tmp_path):
    target = tmp_path / "written"
    text = rf"\boxed{{__import__('pathlib').Path('{target}').touch()}}"
    judge_all([("1/2", text)])
    assert not target.exists()


def test_plain_integers_need_no_process(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    pairs = [(str(i % 10), rf"</think> \boxed{{{i % 7}}}") for i in range(256)]
    assert [v.correct for v in with_own_pool(partial(judging, pairs))] == [
        i % 10 == i % 7 for i in range(256)
    ]


def test_a_missing_box_and_a_truncated_answer_are_wrong_and_say_so():
    async def judge(pool):
        verifier = MathVerifier(pool)
        cut = completion("c", 3, r"\boxed{7}", finish=Finish.LIMIT)
        return await verifier(prompt("p"), cut), await verifier(prompt("p"), completion("d", 3))

    assert with_pool(judge) == (
        Verdict(correct=False, reason="ended by limit"),
        Verdict(correct=False, reason="no boxed answer"),
    )


def test_a_repeated_answer_is_judged_once(monkeypatch):
    async def judge(pool):
        verifier = MathVerifier(pool)
        first = await verifier.compare("1/2", "0.5")
        await pool.close()
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        return first, await verifier.compare("1/2", "0.5")

    first, again = with_own_pool(judge)
    assert first is again


class CountingPool(WorkerPool):
    """A pool that counts what it is asked."""

    asked = 0

    async def ask(self, job, payload, seconds=None):
        self.asked += 1
        return await super().ask(job, payload, seconds)


def test_answers_that_are_under_way_together_are_asked_once():
    """Eight samples of one prompt that hang alike take one deadline, not eight."""

    async def judge():
        pool = CountingPool(workers=1, timeout_seconds=0.5, memory_gib=4.0)
        verifier = MathVerifier(pool)
        first = asyncio.create_task(verifier.compare("7", "9^{9^{9^9}}"))
        others = [asyncio.create_task(verifier.compare("7", "9^{9^{9^9}}")) for _ in range(7)]
        await asyncio.sleep(0)
        first.cancel()
        verdicts = await asyncio.gather(*others)
        await pool.close()
        return pool.asked, {verdict.correct for verdict in verdicts}

    assert asyncio.run(judge()) == (1, {None})


def test_a_failed_answer_is_not_kept():
    async def judge(pool):
        verifier = MathVerifier(pool)
        failed = await verifier.compare("$$", "x")
        return failed, await verifier.compare("1/2", "0.5"), len(verifier._cache)

    failed, judged, kept = with_pool(judge)
    assert (failed.correct, judged.correct, kept) == (None, True, 1)
