# Watches the supervisor of one run in the place where the run lives: starts it again when it was killed, or hangs.
set -u
umask 077
folder="$root/runs/$run"
mkdir -p "$local/locks" "$folder/logs" && [ -O "$local" ] && [ -O "$(dirname "$local")" ] || { echo "error: $local can't be used" >&2; exit 1; }
export CLUSTERCTL_IN_PLACE=1 CLUSTERCTL_HOME="$root" CLUSTERCTL_LEDGER="$local/ledger.db"
export PYTHONPATH="$code" PYTHONUNBUFFERED=1
unset CLUSTERCTL_TELEMETRY
child=
trap '[ -n "$child" ] && kill -KILL "$child" 2>/dev/null; exit 143' TERM
trap '[ -n "$child" ] && kill -KILL "$child" 2>/dev/null; scontrol requeue "$SLURM_JOB_ID"; exit 0' USR1
ends_with_us=  # also where the scheduler does not look for what a killed script leaves
[ -n "${SLURM_JOB_ID:-}" ] && setpriv --pdeathsig KILL true 2>/dev/null && ends_with_us="setpriv --pdeathsig KILL"
pause=1
while :; do
  touch "$local/beat"
  began=$(date +%s)
  CLUSTERCTL_RUN="$run" CLUSTERCTL_ROLE=supervisor CLUSTERCTL_RESOURCE="$run/supervisor" CLUSTERCTL_STORE="$root" \
    $ends_with_us "$python" -P -m clusterctl.runs.supervisor "$root" "$run" </dev/null >>"$folder/logs/supervisor.log" 2>&1 &
  child=$!
  while kill -0 "$child" 2>/dev/null; do
    sleep 1 & wait $!  # a signal ends the wait at once
    now=$(date +%s)
    if [ $((now - $(stat -c %Y "$local/beat" 2>/dev/null || echo "$now"))) -gt 60 ]; then
      echo "error: the supervisor gave no sign for a minute; it is started again" >>"$folder/logs/supervisor.log"
      touch "$local/beat"
      kill -KILL "$child"
    fi
  done
  wait "$child" && exit 0
  [ $(($(date +%s) - began)) -gt 60 ] && pause=1
  sleep "$pause" & wait $!
  pause=$((pause < 8 ? pause * 2 : 8))
done
