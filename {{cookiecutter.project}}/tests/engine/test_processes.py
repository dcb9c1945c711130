"""Two processes are one training: the same steps as one process with the same images a step, and it survives them."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from {{cookiecutter.package}}.engine.bundles import read_checkpoint
from {{cookiecutter.package}}.engine.processes import gather_in_order, leave_process_group

from ..conftest import write_photos
from ..interruption import assert_same, last, status

SCRIPT = Path(__file__).parent / "several_processes.py"
TORCHRUN_SCRIPT = Path(__file__).parents[2] / "scripts" / "torchrun.sh"
DDP = Path(__file__).parents[2] / "configs" / "trainer" / "ddp.yaml"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
SECONDS = 600  # a hang ends the test; a loaded machine does not

# 43 images for training: 5 steps of 8.
FIXED = ["--data", "ImageFolderDataModule", "--data.root", "photos", "--data.image_size", "16"]
FIXED += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--trainer.max_epochs", "3"]
FIXED += ["--tracking.wandb", "off", "--report", "false", "--model"]
PLAIN = ["--model.dropout", "0", "--model.optimizer.name", "sgd", "--data.augmentation", "none"]
CNN = ["CNNClassifier", "--model.widths", "[8]"]
FROZEN_STATISTICS = ["--trainer.callbacks", "FrozenStatistics"]
# A network without batch norm.
TRANSFER = ["TransferClassifier", "--model.backbone", "timm/convnext_atto", "--model.weights", "none"]
TRANSFER += ["--model.input_size", "32", "--model.optimizer.lr", "0.1"]
MODELS = {
    "mlp": ["MLPClassifier", *PLAIN, "--model.optimizer.lr", "0.01"],
    "cnn": [*CNN, *PLAIN, *FROZEN_STATISTICS, "--model.optimizer.lr", "0.05"],
    "transfer": [*TRANSFER, *PLAIN, "--model.head_epochs", "1", "--cache_features", "off"],
    "cached": [*TRANSFER, *PLAIN, "--model.head_epochs", "3", "--cache_features", "on"],
    "untrained": [*CNN, *PLAIN, *FROZEN_STATISTICS, "--model.optimizer.lr", "1e-30"],
}
RANDOM = [*FIXED, *CNN, "--model.dropout", "0.5", "--data.augmentation", "standard", "--data.batch_size", "4"]
RANDOM += ["--trainer.callbacks", "several_processes.Strike", "--trainer.devices", "2"]

Task = dict[str, Any]


def environment(**more: str) -> dict[str, str]:
    """One thread a process, so that sums are added in one order; asleep while it waits."""
    launcher = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "SLURM_PROCID")
    clean = {name: value for name, value in os.environ.items() if name not in launcher}
    return {**clean, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", **more}


def continuing(run: str) -> list[str]:
    """Resume a run, and give its config as one's own: it names ``Strike``, which is no class of the project."""
    return ["--resume", run, "--config", f"{run}/config.yaml"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def run_tasks(folder: Path, num_processes: int, tasks: list[Task]) -> subprocess.Popen[str]:
    """Start trainings, one after the other, on so many processes."""
    file = folder / f"{num_processes}.json"
    file.write_text(json.dumps(tasks))
    command = [*TORCHRUN, f"--nproc-per-node={num_processes}", f"--master-port={free_port()}", str(SCRIPT), str(file)]
    pipes: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment(), **pipes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All trainings: ``1/<name>`` on one process, ``2/<name>`` on two."""
    pytest.importorskip("timm")
    folder = tmp_path_factory.mktemp("processes")
    write_photos(folder / "photos")
    jobs = []
    for num in (1, 2):
        share = ["--data.batch_size", str(8 // num), "--trainer.devices", str(num)]
        tasks: list[Task] = [
            {"options": [*FIXED, *options, *share, "--run.directory", f"{num}/{name}"]}
            for name, options in MODELS.items()
        ]
        if num == 2:
            tasks.append({"options": [*RANDOM, "--run.directory", "2/random"]})
            for rank in range(2):
                run = f"2/stopped {rank}"
                tasks.append({"options": [*RANDOM, "--run.directory", run], "strike": f"stop {rank}", "ends with": 143})
                tasks.append({"options": continuing(run), "strike": ""})
        jobs.append(run_tasks(folder, num, tasks))
    for job in jobs:
        _, errors = job.communicate(timeout=SECONDS)
        assert job.returncode == 0, errors
    return folder


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


@pytest.mark.parametrize("name", MODELS)
def test_two_processes_take_the_steps_of_one(folder: Path, name: str) -> None:
    one, two = folder / "1" / name, folder / "2" / name
    assert len(rows(one)) == 3
    for row, other in zip(rows(one), rows(two), strict=True):
        assert other == pytest.approx(row, rel=1e-3, abs=1e-5)
    torch.testing.assert_close(last(two)["state_dict"], last(one)["state_dict"], rtol=1e-3, atol=1e-5)
    assert last(one)["global_step"] == last(two)["global_step"] == 15


@pytest.mark.parametrize("name", ["mlp", "cnn", "transfer"])
def test_they_have_learnt_something(folder: Path, name: str) -> None:
    """Otherwise it were no wonder that they agree."""
    losses = [row["train/loss"] for row in rows(folder / "2" / name)]
    assert losses[2] < 0.9 * losses[0]


def test_predictions_are_in_the_order_of_the_split(folder: Path) -> None:
    one, two = ((folder / number / "untrained" / "predictions.csv").read_text().splitlines() for number in "12")
    words = [[line.split(",")[:2] for line in lines] for lines in (one, two)]
    assert words[0] == words[1]
    numbers = [[float(cell) for line in lines for cell in line.split(",") if is_number(cell)] for lines in (one, two)]
    assert numbers[1] == pytest.approx(numbers[0], rel=1e-4)


def is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).replace("e-", "", 1).isdigit()


def test_one_run_on_two_processes_counts_each_image_once(folder: Path) -> None:
    for name in MODELS:
        run = folder / "2" / name
        assert json.loads((run / "summary.json").read_text())["num_test_images"] == 9
        assert status(run)["state"] == "finished"
        assert read_checkpoint(run / "checkpoints" / "last.ckpt")["bundle"]["num_processes"] == 2
    assert {path.name for path in (folder / "2").iterdir()} == {*MODELS, "random", "stopped 0", "stopped 1"}


@pytest.mark.parametrize("rank", [0, 1])
def test_they_stop_together_whichever_is_told(folder: Path, rank: int) -> None:
    """Nobody waits for the one that has left, and what goes on is the same training on both."""
    assert_same(folder / "2" / f"stopped {rank}", folder / "2" / "random")


def fit(folder: Path, *launcher: str, strike: str = "", run: str) -> subprocess.CompletedProcess[str]:
    """One training with a launcher, or with Lightning's own."""
    command = [*(launcher or [sys.executable]), str(SCRIPT), "fit"]
    options = continuing(run) if strike == "" and not launcher else [*RANDOM, "--run.directory", run]
    words = [*command, *options]
    return subprocess.run(
        words, cwd=folder, env=environment(STRIKE=strike), capture_output=True, text=True, timeout=SECONDS, check=False
    )


def test_a_process_that_dies_ends_the_run_with_a_sentence(folder: Path) -> None:
    dead = fit(folder, strike="kill", run="dead")
    assert dead.returncode != 0
    assert "process 0 of 2: another process of this training has ended" in dead.stderr
    assert "fit --resume dead" in dead.stderr
    assert status(folder / "dead")["state"] == "failed"
    again = fit(folder, run="dead")
    assert again.returncode == 0, again.stderr
    assert_same(folder / "dead", folder / "2" / "random")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_torchrun_starts_the_job_again_by_itself(folder: Path) -> None:
    """By the shipped script."""
    search_path = os.pathsep.join([str(SCRIPT.parent), os.environ.get("PYTHONPATH", "")])
    job = {"PYTHON": sys.executable, "JOB": "night", "PORT": str(free_port()), "PROCESSES": "2", "RESTARTS": "1"}
    run = subprocess.run(
        ["bash", str(TORCHRUN_SCRIPT), *RANDOM, "--run.name", "restarted"],
        cwd=folder,
        env=environment(**job, STRIKE="kill", PYTHONPATH=search_path),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "job-night has a checkpoint of this job: training continues from it" in run.stderr
    assert_same(folder / "runs" / "restarted" / "job-night", folder / "2" / "random")


def test_the_script_for_torchrun_says_that_there_is_no_gpu(tmp_path: Path) -> None:
    run = subprocess.run(
        ["bash", str(TORCHRUN_SCRIPT), *RANDOM],
        cwd=tmp_path,
        env=environment(PYTHON=sys.executable, CUDA_VISIBLE_DEVICES=""),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.startswith("error: PROCESSES is 'gpu', and torch finds no GPU on this machine.")
    assert f"PROCESSES=2 {TORCHRUN_SCRIPT} ... --trainer.accelerator cpu" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.fixture
def two_nodes(folder: Path) -> Callable[[str], list[tuple[int, str]]]:
    """Starts two agents of torchrun, one process each; returns their exit status and what they said."""

    def start(strike: str) -> list[tuple[int, str]]:
        meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{free_port()}", "--rdzv-id=night"]
        command = [*TORCHRUN, "--nnodes=2", "--nproc-per-node=1", *meeting, str(SCRIPT), "fit", *RANDOM]
        command += ["--trainer.devices", "1", "--trainer.num_nodes", "2", "--run.name", "nodes"]
        env = environment(STRIKE=strike, TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1")  # as the script sets it
        files = [folder / f"{strike or 'again'}-{number}.txt" for number in range(2)]
        agents = []
        for file in files:
            with file.open("w") as said:
                agents.append(subprocess.Popen(command, cwd=folder, env=env, stdout=said, stderr=said))
        try:
            return [(agent.wait(SECONDS), file.read_text()) for agent, file in zip(agents, files, strict=True)]
        except subprocess.TimeoutExpired:
            pytest.fail("\n".join(file.read_text() for file in files))
        finally:
            for agent in agents:
                agent.kill()

    return start


def test_a_node_that_dies(folder: Path, two_nodes: Callable[[str], list[tuple[int, str]]]) -> None:
    """Two agents on one machine stand for two machines. The same command on both goes on."""
    ended = two_nodes("kill the agent")
    assert sorted(code for code, _ in ended) == [-9, 1]
    run = folder / "runs" / "nodes" / "job-night"
    assert status(run)["state"] == "failed"
    again = two_nodes("")
    assert [code for code, _ in again] == [0, 0], again
    assert_same(run, folder / "2" / "random")


def test_sync_batchnorm_is_switched_off_on_cpus(photos: Path, workspace: Path) -> None:
    """The overlay for GPUs, with processes on the CPU: said once, and the same training as without it."""
    command = [sys.executable, "-m", "{{cookiecutter.package}}", "fit", "--config", str(DDP)]
    options = ["--data.root", str(photos), "--data.batch_size", "4", "--trainer.devices", "2"]
    run = subprocess.run(
        [*command, *FIXED, *CNN, *options, "--trainer.max_epochs", "1", "--run.directory", "cpus"],
        cwd=workspace,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("trainer.sync_batchnorm is switched off, because it needs GPUs") == 1
    assert read_checkpoint(workspace / "cpus" / "checkpoints" / "last.ckpt")["bundle"]["num_processes"] == 2
    assert "sync_batchnorm: false" in (workspace / "cpus" / "config.yaml").read_text()


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_synchronised_batch_norm_is_that_of_one_process(folder: Path) -> None:
    for num in (1, 2):
        options = [*FIXED, *CNN, *PLAIN, "--data.batch_size", str(8 // num), "--run.directory", f"gpu/{num}"]
        options += ["--trainer.accelerator", "gpu", "--trainer.devices", str(num), "--trainer.sync_batchnorm", "true"]
        command = [sys.executable, str(SCRIPT), "fit", *options]
        subprocess.run(command, cwd=folder, env=environment(), timeout=SECONDS, check=True)
    one, two = (last(folder / "gpu" / str(num))["state_dict"] for num in (1, 2))
    torch.testing.assert_close(two, one, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("num_rows", [1, 6, 7])
def test_shares_of_processes_in_the_order_of_the_split(num_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.arange(2 * num_rows).view(num_rows, 2)

    def gather(shares: list[Any], _: torch.Tensor) -> None:
        shares[:] = [rows[rank :: len(shares)] for rank in range(len(shares))]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    trainer: Any = SimpleNamespace(world_size=3)
    assert torch.equal(gather_in_order(rows[::3], trainer), rows)


def test_a_process_leaves_its_group_before_it_ends(tmp_path: Path) -> None:
    """With gloo's threads still running, it can be aborted at its exit."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    leave_process_group()
    assert not torch.distributed.is_initialized()
    leave_process_group()  # nothing to leave
