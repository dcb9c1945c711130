"""The shipped sbatch file on a real SLURM: a job that is preempted goes on as if it had not been."""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import Cluster, reason_without

pytestmark = pytest.mark.skipif(bool(reason_without()), reason=reason_without())

SECONDS = 180
URGENT = "--wrap=hostname"  # a job of one command
NUM_EPOCHS = 200  # long enough, on a quick machine, for an urgent job to come between
OPTIONS = ["--config", "configs/digits_mlp.yaml", "--config", "configs/tracking/none.yaml", "--report", "false"]
OPTIONS += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """In a folder with a short name that only its owner may write to: sockets and munge ask for both."""
    pytest.importorskip("torch")
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        started = Cluster(Path(folder))
        try:
            yield started
        finally:
            started.close()


def submit(
    cluster: Cluster, project: Path, runs: Path, resources: str = "--time=10", num_epochs: int = NUM_EPOCHS
) -> str:
    """Two nodes, a process each; a CPU node has no GPUs to ask for."""
    batch = f"sbatch --parsable --gpus-per-node=0 {resources} --chdir={project} --output={runs}/slurm-%j.out"
    options = f"{' '.join(OPTIONS)} --trainer.max_epochs {num_epochs} --run.root {runs}"
    command = f"{batch} scripts/slurm.sh {options}"
    nodes = {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHON": sys.executable}
    # n1 and n2 are names of SLURM's alone: on a cluster they lead to the machines.
    return cluster.run(command, **nodes, PYTHONPATH=str(project / "src"))


def wait_for_end(cluster: Cluster, job: str, out: Path) -> None:
    ends = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}
    cluster.wait_until(lambda: cluster.state_of(job) in ends, f"job {job}", SECONDS)
    assert cluster.state_of(job) == "COMPLETED", out.read_text()


def losses(run: Path) -> list[list[float]]:
    with (run / "metrics.csv").open() as stream:
        return [[float(row[name]) for name in ("epoch", "train/loss", "val/loss")] for row in csv.DictReader(stream)]


def weights(run: Path) -> dict[str, Any]:
    import torch  # not among the template's own tools

    state: dict[str, Any] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return {name: value.tolist() for name, value in state.items()}


def test_a_job_that_makes_way_for_an_urgent_one_goes_on(cluster: Cluster, default_bake: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    whole = submit(cluster, default_bake, tmp_path)
    wait_for_end(cluster, whole, tmp_path / f"slurm-{whole}.out")
    job = submit(cluster, default_bake, tmp_path)
    run, out = tmp_path / "digits_mlp" / f"job-{job}", tmp_path / f"slurm-{job}.out"
    cluster.wait_until(lambda: (run / "checkpoints" / "last.ckpt").is_file(), "first checkpoint", SECONDS)
    urgent = cluster.run(f"sbatch --parsable --partition=urgent --nodes=2 --output={tmp_path}/urgent.out {URGENT}")
    cluster.wait_until(lambda: cluster.state_of(job) == "PENDING", "requeued", SECONDS)
    assert "SIGTERM: stopping after this step" in out.read_text(), out.read_text()
    state = json.loads((run / "status.json").read_text())
    assert state["state"] == "stopped"
    assert 0 < state["num_epochs"] < NUM_EPOCHS
    wait_for_end(cluster, urgent, tmp_path / "urgent.out")
    cluster.run(f"scontrol update JobId={job} StartTime=now")  # SLURM would wait for two minutes
    wait_for_end(cluster, job, out)
    assert f"job-{job} has a checkpoint of this job: training continues from it" in out.read_text()
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    uninterrupted = tmp_path / "digits_mlp" / f"job-{whole}"
    assert weights(run) == weights(uninterrupted)
    assert len(losses(run)) == NUM_EPOCHS
    assert losses(run) == losses(uninterrupted)


def test_a_job_whose_time_is_up_is_saved_and_queued_again(cluster: Cluster, default_bake: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    job = submit(cluster, default_bake, tmp_path, "--time=1 --signal=TERM@40", num_epochs=100_000)
    run, out = tmp_path / "digits_mlp" / f"job-{job}", tmp_path / f"slurm-{job}.out"
    cluster.wait_until(lambda: cluster.state_of(job) == "RUNNING", "started", SECONDS)
    ended = {"PENDING", "COMPLETING"}  # a busy squeue may answer nothing
    cluster.wait_until(lambda: cluster.state_of(job) in ended, "told that its time is up", SECONDS)
    assert "out of time, and saved: back into the queue" in out.read_text()
    state = json.loads((run / "status.json").read_text())
    assert state["state"] == "stopped"
    assert (run / "checkpoints" / "last.ckpt").is_file()
    cluster.run(f"scancel {job}")
