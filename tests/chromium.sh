#!/bin/sh
# Makes sure that the browser tests have a Chromium: $CHROMIUM, or one on PATH, or Debian's, which root installs.
set -eu
for browser in ${CHROMIUM:-} chromium chromium-browser google-chrome; do
    command -v "$browser" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Debian's chromium for the browser tests ..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends chromium >/dev/null
    exit 0
fi
echo "The browser tests need Chromium. Install it ('apt-get install chromium' on Debian, 'brew install --cask chromium' on macOS)" >&2
echo "or name one: make test CHROMIUM=/path/to/chromium" >&2
exit 1
