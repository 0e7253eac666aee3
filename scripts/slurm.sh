#!/bin/sh
#SBATCH --job-name=kdcore
#SBATCH --array=0-2
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=02:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
#SBATCH --open-mode=append
#SBATCH --output=kdcore-%A_%a.log
#
# One experiment on Slurm, a task of the array for each seed:
#   sbatch --array=0-2 scripts/slurm.sh zhao2026-table1 --profile paper --device cuda --precision bfloat16
#
# Words after the name go to `kdcore run`. Records: $KDCORE_RUNS, else records/ where sbatch was called, a folder that
# all machines see. Two minutes before its time is over, and when it is preempted, a task is told to end: it saves, ends
# with status 3 and is put back into the queue, and goes on from there. Killed without a word it loses half a minute.
set -u
cd "${SLURM_SUBMIT_DIR:-.}" || exit 2
[ $# -ge 1 ] || { echo "usage: sbatch [--array=SEEDS] scripts/slurm.sh EXPERIMENT [words for kdcore run]" >&2; exit 2; }
kdcore=${KDCORE:-.venv/bin/kdcore}

"$kdcore" run "$@" --seeds "${SLURM_ARRAY_TASK_ID:-0}" --records "${KDCORE_RUNS:-records}" &
child=$!
trap 'kill -TERM "$child"' TERM
wait "$child"
status=$?
while kill -0 "$child" 2>/dev/null; do # a signal ends the wait, not the run
  wait "$child"
  status=$?
done

if [ $status -eq 3 ]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}" && exit 0
fi
exit $status
