#!/usr/bin/env bash
# Builds the image of a packed checkout, and pushes it.
#   launch/image.sh ARCHIVE.tar.gz REGISTRY/NAME:TAG EXTRA
set -euo pipefail
docker build --file launch/Dockerfile --build-arg "EXTRA=$3" --tag "$2" - <"$1"
docker push "$2"
