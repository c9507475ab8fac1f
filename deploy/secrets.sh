#!/bin/sh
# Makes what nobody should make up: the passwords of deploy/compose.yaml, each in a file of its own under deploy/secrets/.
# Erzeugt die Kennwörter für deploy/compose.yaml. Was schon da ist, bleibt, wie es ist; ein zweiter Lauf ändert nichts.
set -eu
umask 077
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"  # nobody else on this machine gets in; the files inside are open, because each container has another user

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

keep() {  # name, content: written once, complete or not at all
  [ -s "$folder/$1" ] && return
  printf '%s\n' "$2" > "$folder/.$1.draft"
  chmod 444 "$folder/.$1.draft"
  mv "$folder/.$1.draft" "$folder/$1"
  echo "  $folder/$1"
}

# The password first, then what contains it: so that a run that was broken off can be repeated.
keep postgres_password "$(random)"
keep nahtlos_broker_password "$(random)"
keep grafana_admin_password "$(random)"
keep nahtlos_journal "postgresql://nahtlos:$(cat "$folder/postgres_password")@postgres:5432/nahtlos"
keep rabbitmq_user.conf "default_user = nahtlos
default_pass = $(cat "$folder/nahtlos_broker_password")"
echo "Weiter: docker compose -f $(dirname "$0")/compose.yaml up --detach --build --wait"
