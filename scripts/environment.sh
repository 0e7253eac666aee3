#!/bin/sh
# Make .venv hold exactly what requirements.lock says; over at once where it already does.
# usage: sh scripts/environment.sh [PYTHON]
set -eu
cd "$(dirname "$0")/.."
here=.venv/bin/python
stamp=.venv/kdcore-environment

say() { printf '%s\n' "$*" >&2; }
give_up() { say "$*"; exit 2; }

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
fits() { case ${1:-} in 3.11 | 3.12 | 3.13) true ;; *) false ;; esac; }

# Prints the first Python that fits; otherwise says in one sentence what was there instead.
find_python() {
  seen=""
  for name; do
    version=$(version_of "$name") || continue
    if fits "$version"; then command -v "$name"; return; fi
    seen="${seen:+$seen, }$name is $version"
  done
  give_up "kdcore needs a Python 3.11 to 3.13 (${seen:-none was found}): install one, or name it with make PYTHON=/path/to/python3.12"
}

# Prints a uv that works: the user's own, else one in .uv that nothing outside this folder sees.
find_uv() {
  if uv --version >/dev/null 2>&1; then command -v uv; return; fi
  if ! .uv/bin/python -m uv --version >/dev/null 2>&1; then
    say "environment: fetching uv into .uv"
    rm -rf .uv
    "$1" -m venv .uv >&2 ||
      give_up "$1 -m venv failed: install uv, or this Python's venv module (python3-venv where they are packaged apart)."
    .uv/bin/python -m pip install --quiet --disable-pip-version-check uv >&2 ||
      give_up "uv could not be fetched into .uv: the first run needs a network, or a uv that you install yourself."
  fi
  printf '%s\n' "$PWD/.uv/bin/uv"
}

# What the environment depends on.
state() { { cat requirements.lock pyproject.toml scripts/environment.sh; "$here" -VV; } | cksum; }

# A .venv that a clone brought along when it was moved still points to its old place.
usable() {
  fits "$(version_of "$here")" && grep -qF "$PWD/.venv" .venv/bin/activate 2>/dev/null || return 1
  [ -z "$1" ] || [ "$(version_of "$1")" = "$(version_of "$here")" ]
}

if usable "${1:-}"; then
  if [ "$(cat "$stamp" 2>/dev/null)" = "$(state)" ]; then exit 0; fi
  python=$here
elif [ -n "${1:-}" ]; then
  python=$(find_python "$1")
else
  python=$(find_python python3.13 python3.12 python3.11 python3 python)
fi

start=$(date +%s)
uv=$(find_uv "$python")
quiet=--quiet
if [ -t 2 ]; then quiet=; fi
rm -f "$stamp"
if [ "$python" != "$here" ]; then
  say "environment: making .venv with Python $(version_of "$python")"
  rm -rf .venv
  "$uv" venv --quiet --python "$python" .venv
fi
export UV_COMPILE_BYTECODE=1 # once here, rather than in every process where Python is told to write none
say "environment: installing what requirements.lock names (several GB the first time)"
"$uv" pip sync $quiet --python "$here" requirements.lock ||
  give_up "environment: requirements.lock could not be installed whole; the same command goes on from here."
"$uv" pip install $quiet --python "$here" --no-deps -e . ||
  give_up "environment: kdcore itself could not be installed into .venv; the same command goes on from here."
state >"$stamp"
say "environment: ready after $(($(date +%s) - start)) s, downloads included; no time below counts this"
