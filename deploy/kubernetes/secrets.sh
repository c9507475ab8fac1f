#!/bin/sh
# Prints the two secrets of an installation: connections (journal, doorbell) and the keys of the site, made now.
# Gibt die beiden Geheimnisse einer Installation aus: Verbindungen und die Schlüssel des Standorts, die jetzt entstehen.
#
#   secrets.sh 'postgresql://user:password@host/nahtlos?sslmode=verify-full' ['amqps://user:password@host/'] \
#     | kubectl -n nahtlos create -f -
#
# "create" and not "apply": keys that exist must never be replaced, because nothing could be read any more. Keep a copy of
# the keys apart from the backups of PostgreSQL.
set -eu
[ $# -ge 1 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }

random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
quoted() { printf '%s' "$1" | sed "s/'/''/g; s/^/'/; s/\$/'/"; }

cat <<END
apiVersion: v1
kind: Secret
metadata:
  name: nahtlos-connections
  labels: { app.kubernetes.io/name: nahtlos }
type: Opaque
stringData:
  nahtlos_journal: $(quoted "$1")
$([ $# -lt 2 ] || printf '  nahtlos_broker: %s' "$(quoted "$2")")
---
apiVersion: v1
kind: Secret
metadata:
  name: nahtlos-keys
  labels: { app.kubernetes.io/name: nahtlos }
type: Opaque
immutable: false
stringData:
  site-0001-$(random 4).key: "$(random 32)"
  sign-0001-$(random 4).key: "$(random 32)"
END
