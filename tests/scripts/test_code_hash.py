from pathlib import Path

import pytest

from rl.cli.compose import compose
from rl.config import RunConfig
from scripts import code_hash as hashing
from scripts.code_hash import ROOT, chosen_modules, closure, code, code_hash, imports, settings

pytestmark = pytest.mark.thorough


def config(recipe: str, *overrides: str) -> RunConfig:
    return compose(ROOT / "recipes" / "lab" / f"{recipe}.yaml", list(overrides)).config


def test_where_a_run_is_written_and_with_which_seed_and_threads_does_not_count() -> None:
    plain = code_hash(config("grpo"))
    elsewhere = config("grpo", "seed=7", "run.dir=x", "log.wandb=off", "learner.num_threads=1")
    assert code_hash(elsewhere) == plain


@pytest.mark.parametrize(
    "override",
    ["num_steps=31", "limit.cap_tokens=48", "reward=sigmoid", "evaluation.greedy=false"],
)
def test_what_changes_the_result_counts(override: str) -> None:
    assert code_hash(config("grpo", override)) != code_hash(config("grpo"))


def test_two_methods_of_one_module_and_the_same_settings_differ() -> None:
    paper, released = (
        config("lcpo_max", "budget=max", f"reward={name}") for name in ("lcpo_max", "lcpo_max_code")
    )
    assert code_hash(paper) != code_hash(released)


def test_a_setting_that_is_off_does_not_count() -> None:
    on = settings(config("grpo", "algorithm.kl_coefficient=0.1"))["algorithm"]
    off = settings(config("grpo"))["algorithm"]
    assert on["kl_coefficient"] == 0.1
    assert "kl_coefficient" not in off


def test_a_run_depends_on_its_own_method_and_on_no_other() -> None:
    modules = closure(chosen_modules(config("hapo")))
    assert "rewards.length.hapo" in modules
    assert "data.memory" in modules
    assert "rewards.length.kimi" not in modules


def test_imports_inside_functions_are_followed(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("import os\n\ndef late():\n    from rl.run import loop\n")
    assert imports(source) == {"rl.run", "rl.run.loop"}


def test_comments_docstrings_and_layout_are_no_code(tmp_path: Path) -> None:
    bare, commented, other = (tmp_path / f"{name}.py" for name in ("bare", "commented", "other"))
    bare.write_text("def f(x):\n    return x + 1\n")
    commented.write_text(
        '"""A page."""\n\n\ndef f(x):  # one\n    """Adds."""\n    return (x + 1)\n'
    )
    other.write_text("def f(x):\n    return x + 2\n")
    assert code(bare) == code(commented) != code(other)


def test_a_change_of_a_module_of_the_run_changes_the_hash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = {name: code_hash(config(name)) for name in ("hapo", "kimi")}
    changed, path_of = tmp_path / "hapo.py", hashing.path_of
    source = path_of("rewards.length.hapo").read_text()
    changed.write_text(source + "\nEXTRA = 1\n")
    monkeypatch.setattr(
        hashing,
        "path_of",
        lambda module: changed if module == "rewards.length.hapo" else path_of(module),
    )
    assert code_hash(config("hapo")) != before["hapo"]
    assert code_hash(config("kimi")) == before["kimi"]
