import asyncio
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rewards.worker
from data.types import Finish, Verdict
from rewards.config import VerifierConfig
from rewards.verifiers.math import WORKER, MathVerifier, boxed_answer, integers_equal
from tests.rewards.groups import completion, prompt

NEVER_ENDS = r"\boxed{9^{9^{9^9}}}"


def judge_all(pairs, **options):
    """Verdicts of (reference, text) pairs, asked for all at once."""

    async def judge():
        verifier = MathVerifier(VerifierConfig(**options))
        try:
            return await asyncio.gather(
                *(verifier(prompt("p", ref), completion("c", 3, text)) for ref, text in pairs)
            )
        finally:
            await verifier.close()

    return asyncio.run(judge())


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{7}", "7"),
        (r"\boxed{1} no, \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{ x }", "x"),
        (r"<think> \boxed{3} </think> it is \boxed{4}", "4"),
        (r"<think> \boxed{3} </think> it is 4", None),
        (r"a</think>b \boxed{1}</think> \boxed{5}", "5"),
        (r"\boxed{1} and \boxed{2", "1"),
        (r"\boxed{\left\{1\right.}", r"\left\{1\right."),
        (r"\boxed{{a}{b}} }", "{a}{b}"),
        ("the answer is 7", None),
        ("", None),
    ],
)
def test_the_answer_is_the_last_closed_box_after_the_thinking(text, answer):
    assert boxed_answer(text) == answer


integers = st.one_of(
    st.integers(-3, 3), st.integers(-(10**12), 10**12), st.integers(10**8 - 3, 10**8 + 3)
).map(str)


@settings(deadline=None, max_examples=60)
@given(integers, integers | st.sampled_from(["007", "-0", "1.0", "+1", "1,000", "x"]))
def test_the_short_cut_for_integers_agrees_with_math_verify(reference, answer):
    short = integers_equal(reference, answer)
    assert short is None or short == rewards.worker.equal(reference, answer)


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


def test_a_missing_box_and_a_truncated_answer_are_wrong_and_say_so():
    async def judge():
        verifier = MathVerifier(VerifierConfig())
        cut = completion("c", 3, r"\boxed{7}", finish=Finish.LIMIT)
        return await verifier(prompt("p"), cut), await verifier(prompt("p"), completion("d", 3))

    assert asyncio.run(judge()) == (
        Verdict(correct=False, reason="ended by limit"),
        Verdict(correct=False, reason="no boxed answer"),
    )


def test_an_answer_that_never_ends_fails_alone_and_its_worker_is_replaced():
    pairs = [("1/2", NEVER_ENDS), ("1/2", r"\boxed{\frac12}"), ("1/3", r"\boxed{\frac13}")]
    verdicts = judge_all(pairs, workers=1, timeout_seconds=1.5)
    assert verdicts[0] == Verdict(correct=None, reason="no verdict within 1.5 s")
    assert [v.correct for v in verdicts[1:]] == [True, True]


def test_a_worker_that_dies_is_replaced():
    async def judge():
        verifier = MathVerifier(VerifierConfig())
        first = await verifier.compare("1/2", "0.5")
        for worker in verifier._workers:
            worker.process.kill()
        dead = await verifier.compare("1/3", r"\frac13")
        after = await verifier.compare("1/3", r"\frac13")
        await verifier.close()
        return first, dead, after

    first, dead, after = asyncio.run(judge())
    assert (first.correct, dead.correct, after.correct) == (True, None, True)
    assert dead.reason == "the checker's process ended"


def test_a_cancelled_answer_leaves_no_reply_behind_for_the_next():
    async def judge():
        verifier = MathVerifier(VerifierConfig())
        await verifier.compare("1/2", "0.5")
        hanging = asyncio.create_task(verifier.compare("7", "9^{9^{9^9}}"))
        await asyncio.sleep(0.1)
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        verdict = await verifier.compare("2/3", r"\frac23")
        await verifier.close()
        return verdict

    assert asyncio.run(judge()).correct is True


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
    assert [v.correct for v in judge_all(pairs)] == [i % 10 == i % 7 for i in range(256)]


def test_a_repeated_answer_is_judged_once(monkeypatch):
    async def judge():
        verifier = MathVerifier(VerifierConfig())
        first = await verifier.compare("1/2", "0.5")
        await verifier.close()
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        return first, await verifier.compare("1/2", "0.5")

    first, again = asyncio.run(judge())
    assert first is again


def test_a_checker_that_cannot_start_is_an_error_and_no_verdict(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="does not start"):
        judge_all([("1/2", r"\boxed{0.5}")])


def test_a_worker_loads_neither_torch_nor_vllm():
    code = (
        f"import runpy, sys; runpy.run_path({str(WORKER)!r}); "
        "print([m for m in ('torch', 'vllm', 'transformers') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr
