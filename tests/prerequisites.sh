#!/usr/bin/env bash
# Debian packages that tests need and Python cannot bring: installed where we may, else said clearly.
#   prerequisites.sh          for every test
#   prerequisites.sh deploy   only for reading what is under deploy/ (make check)
set -euo pipefail
cd "$(dirname "$0")/.."
missing=()
command -v systemd-analyze >/dev/null || missing+=(systemd)
if [ "${1:-}" != deploy ]; then
  command -v strace >/dev/null || missing+=(strace)
  command -v curl >/dev/null || missing+=(curl)
  [ -n "${NAHTLOS_TEST_AMQP:-}" ] || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing+=(rabbitmq-server)
  ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing+=(postgresql)  # tests start their own, whatever runs
fi
have_promtool() { type -P promtool || ls .cache/prometheus/usr/bin/promtool; }
may_install() { [ "$(id -u)" -eq 0 ] && command -v apt-get; }

if [ ${#missing[@]} -gt 0 ]; then
  if may_install >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "The tests need: ${missing[*]}. As root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
fi
# Unpacked and not installed: the package would start a Prometheus on this machine, and one program of it is all we need.
if ! have_promtool >/dev/null 2>&1; then
  mkdir -p .cache/prometheus
  if may_install >/dev/null; then apt-get update -qq; fi
  if ! { (cd .cache/prometheus && apt-get download -qq prometheus) && dpkg-deb -x .cache/prometheus/prometheus_*.deb .cache/prometheus; } 2>.cache/prometheus/log; then
    cat .cache/prometheus/log >&2
    echo "The tests need promtool. As root: apt-get install prometheus" >&2
    exit 1
  fi
  rm -f .cache/prometheus/*.deb
fi
