#!/bin/bash
# One run over several nodes of a Slurm cluster, one process a node with all of its GPUs:
#
#   sbatch --nodes 2 --gpus-per-node 4 deploy/slurm.sh runs/mnist --dataset mnist --num-samples 50
#
# The folder and then options of train.py. Started again with the same words, as after a time limit or a lost node, it
# goes on from the last whole epoch. The folder lies on a disk that all nodes have.
#SBATCH --ntasks-per-node 1
#SBATCH --requeue
set -euo pipefail

run=${1:?"the run folder, then options of train.py"}
shift
if [ -e "$run/config.json" ]; then
  words=(--resume --out "$run")
else
  words=(--out "$run" "$@")
fi
# Each job has ports of its own, should two share a node.
port=$((20000 + SLURM_JOB_ID % 20000))
workers=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/.*/\"&:$port\"/" | paste -sd, -)
export WORKERS=$workers
# --kill-on-bad-exit: where one process ends with an error, the others have nothing to wait for.
exec srun --kill-on-bad-exit=1 bash -c '
  export TF_CONFIG="{\"cluster\": {\"worker\": [$WORKERS]}, \"task\": {\"type\": \"worker\", \"index\": $SLURM_PROCID}}"
  exec keras-iwae train "$@"
' keras-iwae "${words[@]}"
