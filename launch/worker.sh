#!/usr/bin/env bash
# What one worker does, started by launch/run.py.
#   worker.sh install [EXTRA]              the tested versions of everything, into .venv; once
#   worker.sh run ARGUMENTS...             babeldraw ARGUMENTS, in the foreground
#   worker.sh start [NAME=VALUE...] -- ARGUMENTS...   the same in the background; outlives the shell
#   worker.sh wait | status | stop
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
venv="${BABELDRAW_VENV:-$root/.venv}"
state="$root/build/worker"
log="$state/log" pid_file="$state/pid" code_file="$state/exit_code"

install() {
  local extra="${1:-}" want python
  want="$extra $(cat setup.py constraints.txt | sha256sum)"
  mkdir -p "$state"
  exec 9>"$state/install.lock"
  flock 9 # on a disk that workers share, one installs and the others wait
  if [[ "$(cat "$venv/.worker-stamp" 2>/dev/null)" == "$want" ]]; then return; fi
  python="$(command -v python3.11 || true)"
  if [[ -n "$python" ]]; then
    "$python" -m venv "$venv"
  else # TPU VMs may have 3.10 only; uv brings its own
    python3 -m pip install --quiet --user uv
    python3 -m uv venv --quiet --seed --python 3.11 "$venv"
  fi
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --editable ".${extra:+[$extra]}" --constraint constraints.txt
  printf '%s\n' "$want" >"$venv/.worker-stamp"
}

run() { exec "$venv/bin/python" -m babeldraw.cli.main "$@"; }

is_running() { [[ -f "$pid_file" ]] && kill -0 "$(<"$pid_file")" 2>/dev/null; }

start() {
  while [[ "$1" != -- ]]; do
    export "${1?}"
    shift
  done
  shift
  mkdir -p "$state"
  if is_running; then
    echo "launch/worker.sh: error: a job runs here already (process $(<"$pid_file")); stop it first" >&2
    exit 1
  fi
  rm -f "$code_file" "$pid_file"
  setsid bash "$root/launch/worker.sh" supervise "$@" </dev/null >"$log" 2>&1 &
}

supervise() {
  local code=0 child
  "$venv/bin/python" -u -m babeldraw.cli.main "$@" &
  child=$!
  echo "$child" >"$pid_file"
  wait "$child" || code=$?
  echo "$code" >"$code_file"
}

# Prints the whole log until the job ends, and ends with its exit code.
wait_for_end() {
  while [[ ! -f "$pid_file" && ! -f "$code_file" ]]; do sleep 1; done
  tail --lines=+1 --follow --pid="$(<"$pid_file")" "$log"
  for _ in {1..10}; do
    if [[ -f "$code_file" ]]; then exit "$(<"$code_file")"; fi
    sleep 1
  done
  exit 1 # the supervisor has been killed, too
}

status() {
  if is_running; then
    echo "$(hostname): running, process $(<"$pid_file")"
  else
    echo "$(hostname): not running, last exit code $(cat "$code_file" 2>/dev/null || echo unknown)"
  fi
  tail --lines=1 "$log" 2>/dev/null || true
}

# Asks the job to save and leave; after two minutes ends it.
stop() {
  if ! is_running; then return; fi
  kill -TERM "$(<"$pid_file")"
  for _ in {1..120}; do
    if ! is_running; then return; fi
    sleep 1
  done
  kill -KILL "$(<"$pid_file")"
}

case "${1:-}" in
  install | run | start | supervise | status | stop) "$@" ;;
  wait) wait_for_end ;;
  *)
    sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
