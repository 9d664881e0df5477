# A Python environment, made once in a place by whichever node comes first; the others wait for it.
(
  envs="${CLUSTERCTL_ENVS:-$HOME/.clusterctl/envs}"
  made="$envs/@NAME@"
  complete() { [ -x "$made/bin/python" ] && [ ! -e "$made.making" ]; }
  complete && exit 0
  mkdir -p "$envs"
  deadline=$(($(date +%s) + 3600))
  until mkdir "$made.making" 2>/dev/null; do # atomic on shared folders, where flock may not be
    complete && exit 0
    if [ "$(date +%s)" -gt "$deadline" ]; then
      echo "error: $made.making is an hour old: remove it if nobody makes this environment" >&2
      exit 1
    fi
    sleep 2
  done
  [ -x "$made/bin/python" ] && rmdir "$made.making" && exit 0 # another node has made it meanwhile
  whole=""
  trap '[ -n "$whole" ] || rm -rf "$made"; rm -rf "$made.making"' EXIT
  printf '%s\n' '@INSTALL@' >"$made.making/install.txt"
  printf '%s\n' "@WITHOUT@" >"$made.making/without.txt"
  echo "making $made"
  if command -v uv >/dev/null; then
    uv venv --quiet --clear --python @PYTHON@ "$made"
    uv pip install --quiet --python "$made/bin/python" --override "$made.making/without.txt" -r "$made.making/install.txt"
  elif [ ! -s "$made.making/without.txt" ] || [ "$(tr -d '\n' <"$made.making/without.txt")" = "" ]; then
    python@PYTHON@ -m venv --clear "$made"
    "$made/bin/python" -m pip install --quiet -r "$made.making/install.txt"
  else
    echo "error: $made needs uv, which is not on the path of this node" >&2
    exit 1
  fi || {
    echo "error: $made could not be made: has this node a package index?" >&2
    exit 1
  }
  whole=yes
) || exit 1
