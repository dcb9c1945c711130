#!/usr/bin/env bash
# Trains on several machines of a SLURM cluster, one process a GPU, and goes on by itself when it is interrupted.
#
#     sbatch scripts/slurm.sh --config configs/<recipe>.yaml --config configs/trainer/multinode.yaml
#     sbatch --nodes 4 --gpus-per-node 8 --ntasks-per-node 8 scripts/slurm.sh --config configs/<recipe>.yaml \
#         --config configs/trainer/multinode.yaml
#
# What changes: a step sees data.batch_size images of each process, and an epoch has as many times fewer steps. Set
# --model.optimizer.lr_for_batch_size to the images a step that the recipe's lr was found for, and lr follows.
# What does not: the run is runs/<recipe>/job-<id>, on a disk that all machines see. A requeued job keeps its id, and
# the same command goes on from the last checkpoint.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --time=04:00:00
#SBATCH --job-name={{ cookiecutter.project }}
#SBATCH --output=slurm-%j.out
#SBATCH --open-mode=append
# Preempted, or after a machine has failed: back into the queue.
#SBATCH --requeue
# SIGTERM is what SLURM sends before it takes machines back, and what saves a training here. The same two minutes
# before the time is up. (Lightning's own SIGUSR1 writes a checkpoint of another name, and is not needed.)
#SBATCH --signal=TERM@120
set -uo pipefail

SAVED=143 # exit status of a training that was told to stop, by SIGTERM, and has saved

srun --kill-on-bad-exit=1 ${PYTHON:-python} -m {{ cookiecutter.package }} fit "$@" \
    --trainer.num_nodes "$SLURM_JOB_NUM_NODES" --trainer.devices "${SLURM_NTASKS_PER_NODE:-1}"
status=$?
if [ "$status" = "$SAVED" ]; then
    echo "out of time, and saved: back into the queue"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
