#!/bin/sh
# An instance with files of its own, as a virtual machine has them that unpacks a zip at boot: the release is copied to
# ~/site, and uWSGI serves it from there, on the socket $1. `touch ~/restart` starts the workers again.
set -eu
mkdir "$HOME/site"
cp -R . "$HOME/site"
chmod -R u+w "$HOME/site"
touch "$HOME/restart"
# Without --need-app uWSGI answers 500 when there is no app: a machine that is up and serves nothing is what the health
# check is there for. --lazy-apps: each start of the workers reads the files anew.
exec uwsgi \
  --chdir="$HOME/site" --module="photos:create_app()" --lazy-apps --touch-workers-reload="$HOME/restart" \
  --http-socket="$1" --chmod-socket=660 --add-header="Connection: close" \
  --master --processes=1 --threads=16 \
  --hook-master-start="unix_signal:15 gracefully_kill_them_all" \
  --disable-logging
