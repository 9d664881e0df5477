#!/bin/sh
# Installs what the engine tests need, if it may: root, and Debian's package manager.  The tests say what is missing.
set -eu
here=$(dirname "$0")
tools="$here/../../.venv/bin"

# An environment of its own, made again when its lock changes.
environment() { # NAME LOCK
	made="${XDG_CACHE_HOME:-$HOME/.cache}/clusterctl-engines/$1"
	cmp -s "$2" "$made/made-from.lock" && return
	"$tools/python" -m venv --clear "$made"
	"$tools/uv" pip install --quiet --no-cache --python "$made/bin/python" --require-hashes -r "$2" 2>/dev/null ||
		"$made/bin/python" -m pip --disable-pip-version-check --no-cache-dir install --quiet --require-hashes -r "$2"
	cp "$2" "$made/made-from.lock"
}
environment focus-validator "$here/focus-validator.lock" # the FinOps Foundation's validator wants old packages
environment train "$here/../../requirements-train.lock"  # torch: 2.5 GB to fetch, 6 GB on disk, a minute or three

# Microsoft's own stand-in for Azure's storage; without what packages want to run when they are installed.
azurite() {
	made="${XDG_CACHE_HOME:-$HOME/.cache}/clusterctl-engines/azurite"
	[ -f "$made/node_modules/azurite/package.json" ] && return
	rm -rf "$made"
	npm install --prefix "$made" --ignore-scripts --no-audit --no-fund --silent --omit=optional azurite@3.35.0
}

packages=""
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || packages="$packages postgresql"
command -v prometheus >/dev/null || packages="$packages prometheus"
command -v chromium >/dev/null || packages="$packages chromium"
command -v victoria-metrics >/dev/null || packages="$packages victoria-metrics"
command -v npm >/dev/null || packages="$packages nodejs npm"
[ -z "$packages" ] && azurite && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "missing:$packages; install them with your package manager" >&2
	exit 0
fi
apt-get update -qq
# shellcheck disable=SC2086 # a list of names
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
azurite
