#!/bin/bash
# One run over several nodes of a Slurm cluster, one process a node with all of its GPUs:
#
#   sbatch --nodes 2 --gpus-per-node 4 deploy/slurm.sh runs/mnist --dataset mnist --num-samples 50
#
# The folder and then options of train.py. Started again with the same words, as after a time limit or a lost node, it
# goes on from the last whole epoch; of the words --epochs and --devices count then, and others are those of the run.
# The folder lies on a disk that all nodes have. On a single node say --devices N for N of its GPUs.
#SBATCH --ntasks-per-node 1
#SBATCH --requeue
set -euo pipefail

run=${1:?"the run folder, then options of train.py"}
shift
if [ -e "$run/config.json" ]; then
  words=(--resume --out "$run")
  left=()
  while [ $# -gt 0 ]; do
    case $1 in
      --epochs | --devices) words+=("$1" "${2:?"a number after $1"}"); shift ;;
      --epochs=* | --devices=*) words+=("$1") ;;
      *) left+=("$1") ;;
    esac
    shift
  done
  if [ ${#left[@]} -gt 0 ]; then
    echo "$run is there and goes on with its own settings; not looked at: ${left[*]}" >&2
  fi
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
