#!/bin/sh
# Makes the Python side of the protocol between Terraform and its plugins, from its Go module, and prints the folder.  Seconds.
# Usage: build_protocol.sh PYTHON, which has grpcio-tools.
set -eu
version=v0.29.0
made="${XDG_CACHE_HOME:-$HOME/.cache}/clusterctl-engines/terraform-protocol-$version-py"
[ -f "$made/tfplugin5_pb2_grpc.py" ] && { echo "$made"; exit 0; }
command -v go >/dev/null || { echo "missing: go; https://go.dev/doc/install" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GOFLAGS=-modcacherw GOMODCACHE="$work/modules"
cd "$work"
folder=$(go mod download -json "github.com/hashicorp/terraform-plugin-go@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
mkdir made
"$1" -m grpc_tools.protoc -I"$folder/tfprotov5/internal/tfplugin5" --python_out=made --grpc_python_out=made tfplugin5.proto >&2
mkdir -p "$made"
mv made/* "$made/"
echo "$made"
