#!/usr/bin/env bash
# Trains on all GPUs of this machine, or of several machines, each process started by torchrun.
#
#     scripts/torchrun.sh --config configs/<recipe>.yaml --config configs/trainer/ddp.yaml
#     JOB=photos-1 scripts/torchrun.sh --config configs/<recipe>.yaml --config configs/trainer/ddp.yaml  # of that name
#     JOB=photos-1 NODES=2 MAIN=node-a scripts/torchrun.sh --config configs/<recipe>.yaml \
#         --config configs/trainer/multinode.yaml                                     # the same line on each machine
#
# What changes: a step sees data.batch_size images of each process, and an epoch has as many times fewer steps. Set
# --model.optimizer.lr_for_batch_size to the images a step that the recipe's lr was found for, and lr follows.
# What does not: the run is runs/<recipe>/job-<JOB>, on a disk that all machines see. The same line again, after a
# crash or a reboot, goes on from its last checkpoint; torchrun itself tries RESTARTS times.
set -euo pipefail

NODES=${NODES:-1}
[ "$NODES" = 1 ] || : "${JOB:?several machines must agree on a name: JOB=<name>}"
JOB=${JOB:-$(date +%Y-%m-%d_%H-%M-%S)}
PROCESSES=${PROCESSES:-gpu} # on each machine: as many as it has GPUs, or a number
MAIN=${MAIN:-localhost}     # the machine where all meet
PORT=${PORT:-29400}

if [ "$PROCESSES" = gpu ] && [ "$(${PYTHON:-python} -c 'import torch; print(torch.cuda.device_count())')" = 0 ]; then
    echo "error: PROCESSES is 'gpu', and torch finds no GPU on this machine. For processes on the CPU, give their" \
        "number: PROCESSES=2 $0 ... --trainer.accelerator cpu" >&2
    exit 2
fi

# Otherwise processes that are started again look for those before them, at their old addresses (torch 2.15).
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1

echo "job $JOB: $NODES machine(s), $PROCESSES process(es) each" >&2
exec ${PYTHON:-python} -m torch.distributed.run \
    --nnodes "$NODES" --nproc-per-node "$PROCESSES" --max-restarts "${RESTARTS:-3}" \
    --rdzv-backend c10d --rdzv-endpoint "$MAIN:$PORT" --rdzv-id "$JOB" \
    -m {{ cookiecutter.package }} fit "$@" --trainer.num_nodes "$NODES"
