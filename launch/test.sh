#!/usr/bin/env bash
# Set-up, then the tests.
#   launch/test.sh            all but the slow ones
#   launch/test.sh --slow     the slow ones alone
#   launch/test.sh ARGS...    anything else goes to pytest as it stands
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
"$BASH" "$root/launch/setup.sh"
arguments=("$@")
if (($# == 0)); then
  arguments=(-m "not slow")
elif [[ "$1" == "--slow" ]]; then
  arguments=(-m slow "${@:2}")
fi
venv="${BABELDRAW_VENV:-$root/.venv}"
[[ "$venv" == /* ]] || venv="$PWD/$venv" # the scripts change directory
cd "$root"
exec "$venv/bin/python" -m pytest "${arguments[@]}"
