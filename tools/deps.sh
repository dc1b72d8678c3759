#!/usr/bin/env bash
# Installs what the tests need beside Go and modules, on Debian and its kin:
# a C compiler (the race detector links C), redis-server and PostgreSQL.
# nats-server is built from the module that go.mod pins. Where everything is there it does
# nothing; where it may not install, it says what is missing and fails.
set -euo pipefail

# command -> Debian package
needs=(
    cc:gcc
    redis-server:redis-server
)

missing=()
for need in "${needs[@]}"; do
    command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
# Debian keeps PostgreSQL's programs off the path.
if ! command -v initdb >/dev/null && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
    missing+=(postgresql)
fi
if ! command -v go >/dev/null; then
    echo "deps: no Go; install it from https://go.dev/dl (go.mod names the version)" >&2
    exit 1
fi
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "deps: missing ${missing[*]}; install them with this system's package tool" >&2
    exit 1
fi

install=(apt-get)
if [ "$(id -u)" -ne 0 ]; then
    # -n: never ask for a password in the middle of a test run.
    if ! sudo -n true 2>/dev/null; then
        echo "deps: missing ${missing[*]}; run: sudo apt-get install ${missing[*]}" >&2
        exit 1
    fi
    install=(sudo -n apt-get)
fi

echo "deps: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${install[@]}" -q update
# libc6-dev comes with gcc only as a recommendation.
case " ${missing[*]} " in *" gcc "*) missing+=(libc6-dev) ;; esac
"${install[@]}" -q -y install --no-install-recommends "${missing[@]}"
