"""A SLURM cluster of two nodes on this machine, in a folder, without systemd: for as long as a test takes."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
SBIN = "/usr/sbin:/sbin"
SECONDS = 30  # for a daemon to answer

CONFIG = """
ClusterName=night
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/linear
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1
KillWait=20
JobRequeue=1
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs={cpus}
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs={cpus}
PartitionName=night Nodes=n1,n2 Default=YES PriorityTier=1 MaxTime=INFINITE State=UP
PartitionName=urgent Nodes=n1,n2 PriorityTier=2 MaxTime=INFINITE State=UP
"""


def reason_without() -> str:
    """Why there can be no cluster here; empty where there can."""
    path = f"{os.environ['PATH']}:{SBIN}"
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        return f"SLURM is not installed: no {', '.join(missing)} (apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "SLURM's daemons want to be root"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """Starts munged, slurmctld and two slurmd; ``close`` ends exactly those."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **os.environ,
            "PATH": f"{os.environ['PATH']}:{SBIN}",
            "SLURM_CONF": str(folder / "slurm.conf"),
        }
        self.start_munge()
        host = socket.gethostname().split(".")[0]
        (folder / "state").mkdir()
        text = CONFIG.format(
            folder=folder,
            host=host,
            user=getpass.getuser(),
            port=free_port(),
            first=free_port(),
            second=free_port(),
            cpus=os.cpu_count(),
        )
        (folder / "slurm.conf").write_text(text)
        self.start("slurmctld", "-D")
        for node in ("n1", "n2"):
            (folder / f"spool-{node}").mkdir()
            self.start("slurmd", "-D", "-N", node)
        self.wait_for("sinfo --noheader --format=%T", "idle")

    def start_munge(self) -> None:
        """As the user munge: it refuses folders that others may write to."""
        key, socket_file = self.folder / "munge.key", self.folder / "munge.socket"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        options = [f"--key-file={key}", f"--socket={socket_file}", f"--pid-file={self.folder}/munge.pid"]
        options += [f"--seed-file={self.folder}/munge.seed", f"--log-file={self.folder}/munge.log", "--force"]
        self.start("munged", "--foreground", *options)
        self.wait_until(socket_file.exists, "munged")

    def start(self, *command: str) -> None:
        with (self.folder / f"{len(self.daemons)}-{command[0]}.out").open("wb") as out:
            daemon = subprocess.Popen(command, env=self.environment, stdout=out, stderr=out)
        self.daemons.append(daemon)

    def run(self, command: str, **more: str) -> str:
        result = subprocess.run(
            command.split(), env=self.environment | more, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}{self.logs()}"
        return result.stdout.strip()

    def state_of(self, job: str) -> str:
        return self.run(f"scontrol --oneliner show job {job}").split("JobState=")[1].split()[0]

    def wait_for(self, command: str, answer: str) -> None:
        def is_answered() -> bool:
            result = subprocess.run(command.split(), env=self.environment, capture_output=True, text=True, check=False)
            return bool(result.stdout.split()) and set(result.stdout.split()) == {answer}

        self.wait_until(is_answered, command)

    def wait_until(self, is_true: object, what: str, seconds: float = SECONDS) -> None:
        assert callable(is_true)
        end = time.monotonic() + seconds
        while not is_true():
            assert time.monotonic() < end, f"{what}: not within {seconds} s\n{self.logs()}"
            time.sleep(0.1)

    def logs(self) -> str:
        files = sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("*.out"))
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')[-1500:]}" for file in files)

    def close(self) -> None:
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
