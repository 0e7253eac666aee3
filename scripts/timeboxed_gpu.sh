#!/bin/sh
# Use a device for a limited time, without a network, without notebooks, without installing the project: see that it
# computes what it should, measure it, then make as many runs of the two tables as the time allows.
# usage: sh scripts/timeboxed_gpu.sh BUDGET [FOLDER]     BUDGET as in 25m, FOLDER timeboxed by default
#
# DEVICE=cuda|cpu   PROFILE=paper|smoke|...   TABLES="si2023-table1 zhao2026-table2"   PYTHON=python3
# METHODS=kd,crd (rows; all by default)       SEEDS=0-2 (the profile's by default)     FITNESS=kd,at (losses compared)
# WHEELS=DIR (packages that this Python lacks) THROUGHPUT=no (leave the benchmark out)
#
# FOLDER then holds records/ for `kdcore records merge`, fitness.json, throughput.json, log.txt; results.tar.gz beside
# it all that is small, unfinished.tar.gz networks and checkpoints. Brought back, the folder goes on where it stood.
# Exit status: 0 all done, 1 something failed, 2 the machine lacks something, 3 the time was over before the runs were.
set -u
start=$(date +%s)
[ $# -ge 1 ] || { echo "usage: sh scripts/timeboxed_gpu.sh BUDGET [FOLDER], as in 25m" >&2; exit 2; }
budget=$1
mkdir -p "${2:-timeboxed}" || exit 2
folder=$(cd "${2:-timeboxed}" && pwd)
cd "$(dirname "$0")/.." || exit 2
python=${PYTHON:-python3}
device=${DEVICE:-cuda}
profile=${PROFILE:-paper}
tables=${TABLES:-si2023-table1 zhao2026-table2}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
result=0
child=

say() { printf '%s\n' "$*" | tee -a "$folder/log.txt" >&2; }
failed() { say "$*"; [ $result -ne 0 ] || result=1; }
remaining() { echo $((end - $(date +%s))); }
stop() { end=0; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null; }
trap stop TERM INT

# Runs a command beside the clock, both outputs into the log, and hands a signal on to it.
run() {
  "$@" >>"$folder/log.txt" 2>&1 &
  child=$!
  wait "$child"
  status=$?
  while kill -0 "$child" 2>/dev/null; do wait "$child"; status=$?; done
  child=
  return $status
}

# The same for no longer than so many seconds; then it is told to end, and after twenty more it is ended.
within() {
  seconds=$1
  shift
  [ "$seconds" -ge 1 ] || return 124
  run "$python" -c 'import signal, subprocess, sys
child = subprocess.Popen(sys.argv[2:])
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
try:
    sys.exit(child.wait(float(sys.argv[1])))
except subprocess.TimeoutExpired:
    child.terminate()
try:
    child.wait(20)
except subprocess.TimeoutExpired:
    child.kill()
sys.exit(124)' "$seconds" "$@"
}

if [ -n "${WHEELS:-}" ]; then
  site=$(mktemp -d) && trap 'rm -rf "$site"' EXIT
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl >&2 || exit 2
  PYTHONPATH="$PYTHONPATH:$site"
fi

"$python" - "$profile" "$device" <<'PY' || exit 2
import importlib.util, sys
profile, device = sys.argv[1:]
needed = {"torch": "torch", "torchvision": "torchvision", "numpy": "numpy", "typer": "typer", "rich": "rich",
          "yaml": "pyyaml", "safetensors": "safetensors", "filelock": "filelock"}
if profile in ("smoke", "quick"):
    needed["sklearn"] = "scikit-learn"
lacking = [package for name, package in needed.items() if importlib.util.find_spec(name) is None]
if lacking:
    sys.exit(f"this Python lacks {', '.join(lacking)}: `pip download` them on a machine with a network and the same "
             "Python, and name their folder with WHEELS=DIR")
from kdcore.data import asset
if profile not in ("smoke", "quick"):
    lacking = [name for name in ("cifar10", "cifar100") if not (asset(name).path and asset(name).path.is_file())]
    if lacking:
        sys.exit(f"{' and '.join(lacking)} is not here: bring ~/.cache/kdcore along, or name its place with KDCORE_DATA")
if device.startswith("cuda"):
    import torch
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU here: DEVICE=cpu runs on the processor")
PY
seconds=$("$python" -c 'import sys
from kdcore.experiments.requests import parse_duration
from kdcore.entry import Refusal
try:
    print(int(parse_duration(sys.argv[1])))
except Refusal as refusal:
    sys.exit(str(refusal))' "$budget") || exit 2
reserve=$((seconds / 20))
end=$((start + seconds - reserve)) # the rest is for packing

say "$(date -u +%Y-%m-%dT%H:%M:%SZ) $device, $profile, $budget: is it fit?"
within $(($(remaining) / 3)) "$python" -m kdcore.experiments.fitness --device "$device" \
  --json "$folder/fitness.json" ${FITNESS:+--methods "$FITNESS"}
case $? in
  0) say "fit" ;;
  124) failed "the check took a third of the time and was left" ;;
  *) failed "NOT FIT, see log.txt and fitness.json" ;;
esac

if [ "${THROUGHPUT:-yes}" != no ]; then
  say "how fast is it?"
  within $(($(remaining) / 4)) "$python" benchmarks/throughput.py --device "$device" --json "$folder/throughput.json"
  case $? in
    0) say "see throughput.json" ;;
    124) say "the benchmark took a quarter of the time and was left" ;;
    *) say "its bar does not hold or it failed, see log.txt" ;;
  esac
fi

left=$(echo "$tables" | wc -w)
for table in $tables; do
  share=$(($(remaining) / left))
  left=$((left - 1))
  [ $share -ge 1 ] || { [ $result -ne 0 ] || result=3; continue; }
  say "$table for $share s"
  within $((share + 15)) "$python" -m kdcore.cli run "$table" --profile "$profile" --device "$device" --records "$folder/records" \
    --budget "${share}s" --save-every 60s ${METHODS:+--methods "$METHODS"} ${SEEDS:+--seeds "$SEEDS"}
  case $? in
    0) say "$table is done" ;;
    3 | 124) say "$table: time is over, the same command goes on"; [ $result -ne 0 ] || result=3 ;;
    *) failed "$table failed, see log.txt" ;;
  esac
  "$python" -m kdcore.cli status "$table" --records "$folder/records" 2>&1 | tee -a "$folder/log.txt" >&2
done

cd "$folder" || exit 1
mkdir -p records
find . \( -name '*.checkpoint' -o -name '*.safetensors' \) -print | tar -czf unfinished.tar.gz -T - || result=1
find . -type f ! -name '*.tar.gz' ! -name '*.checkpoint' ! -name '*.safetensors' ! -name '*.lock' ! -name '*.part' -print |
  tar -czf results.tar.gz -T - || result=1
say "packed after $(($(date +%s) - start)) s: results.tar.gz, unfinished.tar.gz in $folder"
exit $result
