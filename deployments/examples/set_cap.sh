#!/usr/bin/env bash
# Sets and tells the power cap of the GPUs of a running Slurm job: a hook for `cap_hook` of the Slurm executor.
#
#   set_cap.sh set JOB WATTS|max    caps each GPU that the job holds
#   set_cap.sh look JOB             prints watts, max where none is capped, mixed where they differ
#
# Jobs that wait hold no GPUs: their caps are noted in Slurm by the executor, and it does not call this.
# Needs root on the nodes, or a sudo rule for `nvidia-smi -pl`. Exit code 75: Slurm does not answer, try again.
set -euo pipefail

usage() {
  echo "usage: $0 set JOB WATTS|max | look JOB" >&2
  exit 2
}

verb="${1:-}" job="${2:-}" watts="${3:-}"
[[ "$job" =~ ^[0-9]+(_[0-9]+)?$ ]] || usage
case "$verb" in
  look) [ -z "$watts" ] || usage ;;
  set) [[ "$watts" =~ ^(max|[0-9]{1,5}(\.[0-9]+)?)$ ]] || usage ;;
  *) usage ;;
esac

found="$(squeue --noheader --states=RUNNING --format='%A %D' --jobs="$job")" || exit 75
if [ -z "$found" ]; then
  echo "job $job does not run" >&2
  exit 1
fi
read -r number nodes <<<"$found"

# Runs a command on each node of the job, inside its allocation: it sees the GPUs of the job and no others.
on_nodes() {
  srun --jobid="$number" --overlap --quiet --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 \
    bash -c "$1" cap "$watts"
}

# shellcheck disable=SC2016 # these expand on the nodes
case "$verb" in
  set)
    on_nodes '
      watts="$1"
      if [ "$watts" = max ]; then
        watts="$(nvidia-smi -i "$CUDA_VISIBLE_DEVICES" --query-gpu=power.max_limit --format=csv,noheader,nounits |
          sort -n | head -n 1)"
      fi
      nvidia-smi -i "$CUDA_VISIBLE_DEVICES" -pl "$watts" >/dev/null'
    ;;
  look)
    on_nodes '
      nvidia-smi -i "$CUDA_VISIBLE_DEVICES" --query-gpu=power.limit,power.max_limit --format=csv,noheader,nounits' |
      awk -F', *' '
        $1 < $2 { capped = 1 }
        !seen[$1]++ { limits++; last = $1 }
        END { print !capped ? "max" : limits == 1 ? last : "mixed" }'
    ;;
esac
