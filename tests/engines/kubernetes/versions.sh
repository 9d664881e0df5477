# What build.sh builds.  A change of any version builds everything anew, in a folder of its own.
# shellcheck shell=sh disable=SC2034 # read by those that source this file
kubernetes_version=v1.34.4
etcd_version=v3.6.5
kwok_version=v0.7.0
helm_version=v3.19.5
coredns_version=v1.14.3
gvisor_version=v0.0.0-20260518063529-209a0ce076a1 # the module proxy serves gVisor's commits, not its tags
engines="${XDG_CACHE_HOME:-$HOME/.cache}/clusterctl-engines/kubernetes"
programs="$engines/bin-$(sha256sum <"$here/versions.sh" | cut -c 1-12)"
