#!/bin/sh
# Builds Pulumi's Kubernetes provider from its Go module, once a version, and prints the folder that holds
# `pulumi-resource-kubernetes`.  About 15 minutes of two cores, most of it for the module's own Go SDK; 306 MB.
set -eu
version=v4.0.0-20260115033456-f47bc2d6f199
made="${XDG_CACHE_HOME:-$HOME/.cache}/clusterctl-engines/pulumi-kubernetes-$version"
[ -x "$made/pulumi-resource-kubernetes" ] && { echo "$made"; exit 0; }
[ "${1-}" = --made ] && exit 1 # whether it is there already
command -v go >/dev/null || { echo "missing: go; https://go.dev/doc/install" >&2; exit 1; }
mkdir -p "$made"
exec 9>"$made/lock"
flock 9 # another build may have ended meanwhile
[ -x "$made/pulumi-resource-kubernetes" ] && { echo "$made"; exit 0; }
work="$made/work"
mkdir -p "$work/provider" # beside the modules, which are no part of it
export GOFLAGS="-buildvcs=false -mod=mod -trimpath -modcacherw" CGO_ENABLED=0 GOTOOLCHAIN=local
export GOMODCACHE="$work/modules" GOCACHE="$work/objects"
module=github.com/pulumi/pulumi-kubernetes/provider/v4
cd "$work/provider"
printf 'module clusterctl.invalid/kubernetes\n\ngo 1.25.5\n' >go.mod
cat >main.go <<'GO'
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

//go:embed schema-embed.json
var schema []byte

//go:embed terraform-mapping-embed.json
var mapping []byte

func main() { provider.Serve("kubernetes", version.Version, schema, mapping) }
GO
go get "$module@$version" >&2
files="$(go list -m -f '{{.Dir}}' "$module")/cmd/pulumi-resource-kubernetes"
for name in schema terraform-mapping; do # as the module's own build writes them: without blanks
	python3 -c 'import json, sys; json.dump(json.load(open(sys.argv[1])), sys.stdout, separators=(",", ":"))' "$files/$name.json" >"$name-embed.json"
done
go mod tidy >&2
go build -o "$made/pulumi-resource-kubernetes.part" -ldflags "-s -w -X $module/pkg/version.Version=4.34.2" . >&2
mv "$made/pulumi-resource-kubernetes.part" "$made/pulumi-resource-kubernetes"
cd "$made"
rm -rf "$work"
echo "$made"
