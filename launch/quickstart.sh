#!/usr/bin/env bash
# Set-up, then the main job on the pictures inside the package. Arguments go to `babeldraw quickstart`.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
"$BASH" "$root/launch/setup.sh"
venv="${BABELDRAW_VENV:-$root/.venv}"
echo "For what comes afterwards, once in your shell: source $venv/bin/activate"
exec "$venv/bin/babeldraw" quickstart "$@"
