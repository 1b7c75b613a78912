#!/usr/bin/env bash
# Packs the tracked files of the checkout as they stand: what is sent to the workers and into images.
# A key or a note that lies beside them stays at home; a recipe of one's own goes along after `git add`.
#   launch/pack.sh OUTPUT.tar.gz [FOLDER]    with T5X's clones in FOLDER, as build/t5x (docs/t5x.md)
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
output="$1" clones="${2:-}"
mkdir -p "$(dirname "$output")"
plain="${output%.gz}"

tracked() { # Of the files that git knows, some may have been deleted since.
  git -C "$1" ls-files --cached -z |
    (cd "$1" && while IFS= read -r -d '' file; do [[ ! -e "$file" ]] || printf '%s\0' "$file"; done)
}

tracked "$root" | tar --directory "$root" --null --files-from=- --create --file="$plain"
if [[ -n "$clones" ]]; then
  for name in t5x airio jestimator; do
    tracked "$clones/$name" |
      tar --directory "$clones/$name" --null --files-from=- --append --file="$plain" \
        --transform "flags=r;s,^,build/t5x/$name/,"
  done
fi
gzip --force "$plain"
[[ "$plain.gz" == "$output" ]] || mv "$plain.gz" "$output"
git -C "$root" ls-files --others --exclude-standard |
  sed 's/^/left out, not tracked by git: /' >&2
echo "packed $output"
