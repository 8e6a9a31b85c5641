#!/usr/bin/env bash
# Asks a running server what a client would ask, and checks the answers.
#
#   deploy/smoke_test.sh http://localhost:8501 shop '12:view,7:cart' [LABEL]
#
# The history is of real items and behaviours, oldest first. Without a LABEL the latest version is
# asked. Needs curl and python3. The exit status is 0 only if every check passed.
set -euo pipefail

if [ $# -lt 3 ]; then
  echo "usage: $0 URL NAME 'ITEM:BEHAVIOUR,...' [LABEL]" >&2
  exit 2
fi
model="${1%/}/v1/models/$2${4:+/labels/$4}"

get() { curl --silent --show-error --fail --max-time 30 "$1"; }

status=$(get "$model")
python3 -c '
import json, sys
states = [status["state"] for status in json.load(sys.stdin)["model_version_status"]]
if "AVAILABLE" not in states:
    sys.exit(f"failed: no version is available: {states}")
' <<<"$status"
echo "ok: status"

metadata=$(get "$model/metadata")
python3 -c '
import json, sys
signatures = json.load(sys.stdin)["metadata"]["signature_def"]["signature_def"]
missing = {"items", "behaviors", "k", "exclude_seen"} - set(signatures["recommend"]["inputs"])
if missing:
    sys.exit(f"failed: the signature recommend has no input {sorted(missing)}")
' <<<"$metadata"
echo "ok: metadata"

python3 - "$model:predict" "$3" <<'PYTHON'
import json
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

url, history = sys.argv[1:]
events = [event.rsplit(":", 1) for event in history.split(",")]
K = 5


def row(count):
    """The last `count` events. The first string is "", which a server pads with; see README.md."""
    items, behaviors = zip(["", ""], *events[len(events) - count :])
    return {"items": items, "behaviors": behaviors, "k": K, "exclude_seen": False}


def ask(*rows):
    body = json.dumps({"signature_name": "recommend", "instances": rows}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        sys.exit(f"{error}: {error.read().decode(errors='replace')}")


def same(one, other):
    # Another batch is another order of summation.
    return one["items"][:K] == other["items"][:K] and all(
        abs(a - b) < 1e-3 for a, b in zip(one["scores"][:K], other["scores"][:K])
    )


def check(good, what):
    if not good:
        sys.exit(f"failed: {what}")
    print(f"ok: {what}")


lengths = range(1, len(events) + 1)
alone = {count: ask(row(count))[0] for count in lengths}
answer = alone[len(events)]
items = [item for item in answer["items"] if item]
scores = answer["scores"][: len(items)]
check(0 < len(items) <= K and len(set(items)) == len(items), f"{len(items)} different items")
check(scores == sorted(scores, reverse=True), "the best comes first")
twice = ask(row(len(events)), row(len(events)))
check(len(twice) == 2 and all(same(answer, one) for one in twice), "two rows in one request")
with ThreadPoolExecutor(16) as pool:
    asked = [*lengths] * 8
    together = [*pool.map(lambda count: ask(row(count))[0], asked)]
check(
    all(same(alone[count], one) for count, one in zip(asked, together)),
    "requests at the same time, of different lengths, are answered as each alone",
)
PYTHON
echo "all checks passed"
