"""A recipe is a program: run by Python and torchrun, from anywhere, from checkout and wheel."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
QUICKSTART = ROOT / "recipes" / "quickstart.yaml"
SCRIPTS = Path(sys.executable).parent
TINY = (
    "num_steps=1",
    "prompts_per_step=4",
    "algorithm.group_size=4",
    "limit.max_response_tokens=64",
    "evaluation.num_problems=8",
    "evaluation.samples_per_problem=1",
    "rollout.kv_cache_gib=0.2",
    "log.wandb=off",
)


def run(
    command: Sequence[str | Path], folder: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True
    )


def torchrun(*arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "torch.distributed.run", *arguments]


@pytest.fixture(scope="session")
def wheel_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with our wheel; all else is borrowed from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index"]
    run([*pip, "wheel", *options, "-w", folder, ROOT], folder).check_returncode()
    run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], folder)
    python = folder / "venv" / "bin" / "python"
    [wheel] = folder.glob("laconic-*.whl")
    run([*pip, "--python", python, "install", *options, wheel], folder).check_returncode()
    site = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder)
    borrowed = Path(site.stdout.strip()) / "borrowed.pth"
    borrowed.write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def test_recipe_runs_from_another_folder(tmp_path: Path) -> None:
    finished = run([sys.executable, QUICKSTART, "num_steps=many"], tmp_path)
    assert finished.returncode == 2
    assert finished.stderr == (
        f"laconic: {QUICKSTART} has 1 problem:\n"
        "- num_steps=many (command line): must be an integer\n"
    )


def test_laconic_train_does_the_same(tmp_path: Path) -> None:
    by_python = run([sys.executable, QUICKSTART, "seed=x"], tmp_path)
    by_command = run([SCRIPTS / "laconic", "train", QUICKSTART, "seed=x"], tmp_path)
    assert (by_command.returncode, by_command.stderr) == (2, by_python.stderr)


def test_another_yaml_gets_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("a: 1\n", encoding="utf-8")
    finished = run([sys.executable, "settings.yaml"], tmp_path)
    assert finished.returncode == 2
    assert finished.stderr == (
        "laconic: settings.yaml has 1 problem:\n"
        "- settings.yaml is not a recipe of Laconic: it has no `defaults: [schema, ...]`; "
        "recipes/quickstart.yaml is one\n"
    )


def test_namesakes_beside_a_recipe_get_the_shadowing_message(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "load.py").touch()
    (tmp_path / "rewards.py").touch()
    (tmp_path / "mine.yaml").write_text(QUICKSTART.read_text(encoding="utf-8"), encoding="utf-8")
    finished = run([sys.executable, "mine.yaml"], tmp_path)
    assert finished.returncode == 2
    assert finished.stderr == (
        "laconic: the names data, rewards, rollout, rl belong to Laconic's own packages, but\n"
        f"  {tmp_path / 'data'}, beside the recipe, has the name of {ROOT / 'data'}\n"
        f"  {tmp_path / 'rewards.py'}, beside the recipe, has the name of {ROOT / 'rewards'}\n"
        "Rename or move these, or take their folder off PYTHONPATH.\n"
    )


@pytest.mark.parametrize("command", [[sys.executable], [SCRIPTS / "laconic", "train"]])
def test_packages_before_ours_on_the_path_get_the_shadowing_message(
    tmp_path: Path, command: list[str | Path]
) -> None:
    (tmp_path / "rewards.py").touch()
    (tmp_path / "rl").mkdir()
    (tmp_path / "rl" / "__init__.py").touch()
    finished = run([*command, QUICKSTART], ROOT, PYTHONPATH=str(tmp_path))
    assert finished.returncode == 2
    assert f"  {tmp_path / 'rewards.py'} shadows {ROOT / 'rewards'}\n" in finished.stderr
    assert f"  {tmp_path / 'rl'} shadows {ROOT / 'rl'}\n" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_namesakes_in_the_current_folder_are_named_and_not_used(tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text("raise RuntimeError\n", encoding="utf-8")
    finished = run([sys.executable, QUICKSTART, "seed=x"], tmp_path)
    assert finished.stderr == (
        f"laconic: not used: {tmp_path / 'rewards.py'}; the names data, rewards, rollout, rl are "
        "those of Laconic's packages\n"
        f"laconic: {QUICKSTART} has 1 problem:\n"
        "- seed=x (command line): must be an integer\n"
    )


def test_folder_of_data_files_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").touch()
    (tmp_path / "mine.yaml").write_text(QUICKSTART.read_text(encoding="utf-8"), encoding="utf-8")
    finished = run([sys.executable, "mine.yaml", "seed=x"], tmp_path, PYTHONPATH=str(tmp_path))
    assert finished.stderr.endswith("- seed=x (command line): must be an integer\n")


def test_spawned_children_do_not_run_the_recipe_again(tmp_path: Path) -> None:
    # Stands where the installed entry does, so that what runs is the hook and nothing else.
    (tmp_path / "_laconic_entry.py").write_text(
        "import multiprocessing, os\n"
        "def run(recipe):\n"
        "    print('ran', recipe, flush=True)\n"
        "    child = multiprocessing.get_context('spawn').Process(target=os.getpid)\n"
        "    child.start(); child.join()\n"
        "    print('child', child.exitcode)\n",
        encoding="utf-8",
    )
    (tmp_path / "x.yaml").touch()
    finished = run([sys.executable, "x.yaml"], tmp_path, PYTHONPATH=str(tmp_path))
    assert finished.stdout == f"ran {tmp_path}/x.yaml\nchild 0\n", finished.stderr


def test_hook_loads_nothing_into_an_interpreter_but_the_import_machinery() -> None:
    code = (
        "import sys; before = set(sys.modules); import rl.cli.recipe_hook;"
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = run([sys.executable, "-S", "-c", code], ROOT, PYTHONPATH=str(ROOT)).stdout.split()
    ours = ["rl", "rl.cli", "rl.cli.recipe_hook"]
    assert [name for name in loaded if name not in ours] == [
        "importlib",
        "importlib._bootstrap",
        "importlib._bootstrap_external",
        "importlib.machinery",
        "warnings",
    ]


@pytest.mark.thorough
def test_wheel_holds_packages_recipes_and_the_lab(wheel_python: Path, tmp_path: Path) -> None:
    code = "import rl, data; print(rl.__file__); print(data.__file__)"
    found = [Path(line) for line in run([wheel_python, "-c", code], tmp_path).stdout.split()]
    site = found[0].parents[1]
    assert all(path.is_relative_to(wheel_python.parents[1]) for path in found)
    recipes = {path.relative_to(ROOT) for path in (ROOT / "recipes").rglob("*.yaml")}
    assert {path for path in recipes if not (site / path).is_file()} == set()
    assert (site / "data" / "lab" / "short" / "model.safetensors").is_file()


@pytest.mark.thorough
def test_wheel_runs_its_recipes_and_its_command(wheel_python: Path, tmp_path: Path) -> None:
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run([wheel_python, "-c", purelib], tmp_path).stdout.strip())
    finished = run([wheel_python, site / "recipes" / "quickstart.yaml", "seed=x"], tmp_path)
    assert finished.stderr.endswith("- seed=x (command line): must be an integer\n")
    mine = tmp_path / "mine.yaml"
    mine.write_text(QUICKSTART.read_text(encoding="utf-8"), encoding="utf-8")
    plan = run([wheel_python.parent / "laconic", "plan", "mine.yaml"], tmp_path)
    assert plan.returncode == 0, plan.stderr
    assert plan.stdout.startswith("plan of mine.yaml\n")


@pytest.mark.engine
def test_two_processes_say_what_is_wrong_once(tmp_path: Path) -> None:
    finished = run(torchrun("--nproc-per-node", "2", QUICKSTART, "seed=x"), tmp_path)
    assert finished.returncode != 0
    assert finished.stderr.count("- seed=x (command line): must be an integer") == 1


@pytest.mark.engine
@pytest.mark.long
@pytest.mark.parametrize("installation", ["editable", "wheel"])
def test_two_processes_train_from_another_folder(
    installation: str, wheel_python: Path, tmp_path: Path
) -> None:
    python, recipe = sys.executable, str(QUICKSTART)
    if installation == "wheel":
        purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = run([wheel_python, "-c", purelib], tmp_path).stdout.strip()
        python, recipe = str(wheel_python), f"{site}/recipes/quickstart.yaml"
    command = [python, "-m", "torch.distributed.run", "--nproc-per-node", "2", recipe]
    finished = run([*command, *TINY, "run.dir=out"], tmp_path)
    assert finished.returncode == 0, finished.stderr[-4000:]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert (summary["steps"], summary["recipe"]) == (1, "quickstart")
    assert summary["engine"].startswith("vllm ")
