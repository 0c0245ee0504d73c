#!/bin/sh
# Run by `make test-ui`, from the repository's root: the browser and two npm packages where they are missing (with --install
# nothing more), a system in a folder of its own for the time of the tests, and the tests.
set -eu
CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || true)}
if [ -z "$CHROMIUM" ]; then
    if [ "$(id -u)" != 0 ]; then echo "make test-ui needs chromium: apt-get install chromium (or CHROMIUM=/path/to/it)" >&2; exit 2; fi
    apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium fonts-nanum >/dev/null
    CHROMIUM=$(command -v chromium)
fi
command -v node >/dev/null || { echo "make test-ui needs Node.js 20 or newer and npm" >&2; exit 2; }
[ -d tests/ui/node_modules/axe-core ] && [ -d tests/ui/node_modules/playwright-core ] ||
    npm ci --prefix tests/ui --ignore-scripts --no-audit --no-fund --silent
[ "${1:-}" != --install ] || exit 0

state=$(mktemp -d "${TMPDIR:-/tmp}/eco2-ui-XXXXXX")
end() {
    .venv/bin/eco2 down --state "$state" >/dev/null 2>&1 || true
    .venv/bin/python -c 'import sys; from pathlib import Path; from emulator.servers.postgres import remove_cluster; from emulator.state.folder import State; remove_cluster(State(Path(sys.argv[1])))' "$state" || true
    rm -rf "$state"
}
trap end EXIT
trap 'exit 130' INT TERM
mkdir -p build
.venv/bin/python -m tests.contract.client_ts > /dev/null
.venv/bin/eco2 up --detach --state "$state" > build/test-ui-up.log 2>&1 || { cat build/test-ui-up.log; exit 1; }
ECO2_UI_GATEWAY=$(sed -n 's/^ *gateway  *\(http[^ ]*\)$/\1/p' build/test-ui-up.log)
ECO2_UI_TOKEN=$(.venv/bin/eco2 open --print --state "$state" | sed 's/.*#token=\([^&]*\)&.*/\1/')
# A letter, as the system sends them: there is nobody else to read it.
.venv/bin/python -c 'import sys; from pathlib import Path; from emulator.outside.mailbox import Mailbox; Mailbox(Path(sys.argv[1]) / "mail").add(b"Subject: Your code\r\n\r\n123456\r\n", "eco2@example.com", ["reader@example.com"])' "$state"
ECO2_UI_PHOTO=$(.venv/bin/python -c 'from pathlib import Path; import skimage; print(Path(skimage.__file__).parent / "data" / "coffee.png")')
ECO2_UI_TWO_THINGS=$state/two-things.jpg
.venv/bin/python -c 'import sys; from pathlib import Path; from tests.storage.photos import encode, two_things; Path(sys.argv[1]).write_bytes(encode(two_things()))' "$ECO2_UI_TWO_THINGS"
ECO2_UI_SHOTS=$PWD/build/screenshots
ECO2_UI_CHROMIUM=$CHROMIUM
ECO2_UI_STATE=$state
export ECO2_UI_STATE ECO2_UI_GATEWAY ECO2_UI_TOKEN ECO2_UI_PHOTO ECO2_UI_TWO_THINGS ECO2_UI_SHOTS ECO2_UI_CHROMIUM
rm -rf build/screenshots
node --test --test-reporter=spec --test-concurrency=1 tests/ui/dashboard.test.js tests/ui/frontend.test.js tests/ui/reference.test.js
