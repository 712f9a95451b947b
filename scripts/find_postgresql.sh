#!/bin/sh
# See that there is a PostgreSQL for the studio's tests: the one that is installed, else Debian's, if we are root there.
# Without one those tests run on SQLite alone and say so.
command -v postgres >/dev/null 2>&1 && exit 0
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && exit 0
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || exit 0
echo "installing PostgreSQL for the studio's tests"
apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null || true
