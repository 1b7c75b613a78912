#!/usr/bin/env bash
# Set-up, then the tests, a worker a core.
#   launch/test.sh               what a newcomer and CI run
#   launch/test.sh --coverage    the same, and the share of babeldraw/ that it reaches (CI: at least 90%)
#   launch/test.sh --slow        real trainings, processes that are killed, large grids
#   launch/test.sh --published   the published sizes through the TPU compiler
#   launch/test.sh --processors [FOLDER...]
#                                the first tier again as older processors and one core run it, all
#                                compiled as users' programs are: the first tier compiles quickly
#   launch/test.sh ARGS...       anything else goes to pytest as it stands
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
"$BASH" "$root/launch/setup.sh"
venv="${BABELDRAW_VENV:-$root/.venv}"
[[ "$venv" == /* ]] || venv="$PWD/$venv" # the scripts change directory
cd "$root"

ordinary=(-m "not slow and not published")
# loadfile: the tests of a file share what they have compiled and trained. Files in their own order:
# by the number of tests, heavy files with few of them come last, and a core waits.
workers=(--numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder)

case "${1:-}" in
  "") arguments=("${ordinary[@]}" "${workers[@]}") ;;
  --coverage) arguments=("${ordinary[@]}" "${workers[@]}" --cov --cov-report=term:skip-covered "${@:2}") ;;
  --slow) arguments=(-m "slow and not published" "${workers[@]}" "${@:2}") ;;
  --published) arguments=(-m published "${@:2}") ;;
  --processors)
    for instructions in SSE4_2 AVX2 AVX512; do
      echo "== instructions up to $instructions"
      XLA_FLAGS="--xla_cpu_max_isa=$instructions ${XLA_FLAGS:-}" \
        "$venv/bin/python" -m pytest -q --optimised "${ordinary[@]}" "${workers[@]}" "${@:2}"
    done
    echo "== one core"
    exec taskset --cpu-list 0 "$venv/bin/python" -m pytest -q --optimised "${ordinary[@]}" "${@:2}"
    ;;
  *) arguments=("$@") ;;
esac
exec "$venv/bin/python" -m pytest "${arguments[@]}"
