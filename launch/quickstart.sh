#!/usr/bin/env bash
# Set-up, then the main job on the pictures inside the package. Arguments go to `babeldraw quickstart`.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
"$BASH" "$root/launch/setup.sh"
exec "${BABELDRAW_VENV:-$root/.venv}/bin/babeldraw" quickstart "$@"
