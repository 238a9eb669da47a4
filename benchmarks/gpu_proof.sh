#!/usr/bin/env bash
# The proof on a machine with a GPU, in calls of at most ten minutes (docs/gpu.md):
#
#   benchmarks/gpu_proof.sh [--dry-run] [--again] [--no-install] [--into FOLDER] [CALL ...]
#
# CALL is 1 to 5, or all (the default). Steps already completed are skipped unless --again is
# given. Logs, JSON and summary.md are in FOLDER (default: gpu-proof in the repository). --dry-run runs
# the same steps on the tests' executor, without a GPU, on tiny pictures.
set -euo pipefail
caller=$PWD
cd "$(dirname "$0")/.."
export PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=1

CALL_SECONDS=560  # of 600: a killed step, its neighbours and the summary take the rest
dry='' again='' install=yes into=gpu-proof calls=()
while (($#)); do
  case $1 in
    --dry-run) dry=yes ;;
    --again) again=yes ;;
    --no-install) install='' ;;
    --into) into=$(cd "$caller" && realpath -m -- "${2:?--into needs a folder}"); shift ;;
    [1-5]) calls+=("$1") ;;
    all) calls+=(1 2 3 4 5) ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done
((${#calls[@]})) || calls=(1 2 3 4 5)

python=("${PYTHON:-python3}") small=(16 64) large=(256 1024) solved=(256) side=4096
if [[ $dry ]]; then
  python+=(-P benchmarks/on_executor.py) small=(0.01) large=(0.01) solved=(0.01) side=64
fi
outcomes=(-p benchmarks.gpu_outcomes) measured=()
if [[ $again ]]; then
  outcomes+=(--outcomes-again) measured+=(--again)
fi

call_1() {
  step info 60 "${python[@]}" -c 'from hdseg_gpu.cli import entry_point; entry_point()' info
  tests tests-backend tests/backends/test_gpu.py tests/backends/test_gpu_arrays.py
  step processes 240 "${python[@]}" -m benchmarks.gpu_processes -o "$into/processes.json" --side "$side"
}

call_2() {
  tests tests-ops --ignore=tests/backends/test_gpu.py --ignore=tests/backends/test_gpu_arrays.py
}

call_3() {
  measure small 540 --megapixels "${small[@]}"
}

call_4() {
  measure large 320 --megapixels "${large[@]}" --only thinning refine kernels
  measure large-solve 240 --megapixels "${solved[@]}" --only solve
}

call_5() {
  sanitize memcheck
  sanitize racecheck
}

tests() { # name, arguments of pytest
  step "$1" 480 "${python[@]}" -m pytest -q -m gpu -n 0 -W default --timeout 90 --timeout-method thread \
    --durations=15 "${outcomes[@]}" \
    --outcomes "$into/$1.jsonl" "${@:2}"
}

measure() { # name, seconds at most, arguments of the benchmark
  step "$1" "$2" "${python[@]}" -m benchmarks.gpu -o "$into/gpu.json" "${measured[@]}" "${@:3}"
}

sanitize() { # tool
  local run=("${COMPUTE_SANITIZER:-compute-sanitizer}" --tool "$1" --error-exitcode 9)
  # CuPy asks for things that may fail, and goes on.
  [[ $1 != memcheck ]] || run+=(--report-api-errors no)
  local tests=(-m pytest -q -m gpu -n 0 -k sanitize tests/backends/test_gpu.py)
  if [[ $dry ]]; then # what it would run has to be there
    [[ $planning ]] || echo "   ${run[*]} python3 ${tests[*]} --timeout 0"
    step "$1" 240 "${python[@]}" "${tests[@]}" --collect-only
  else
    step "$1" 270 "${run[@]}" "${python[@]}" "${tests[@]}" --timeout 0
  fi
}

step() { # name, seconds at most, command
  local name=$1 limit=$2 left=$((begun + CALL_SECONDS - SECONDS)) start=$SECONDS status=0
  shift 2
  if [[ $planning ]]; then
    printf '%s\t%s\n' "$call" "$name"
    return
  fi
  if [[ ! $again ]] && is_done "$name"; then
    echo "== call $call, $name: already done"
    return
  fi
  ((limit <= left)) || limit=$left
  if ((limit < 10)); then
    echo "== call $call, $name: not enough time left; rerun call $call"
    failed=yes
    return
  fi
  echo "== call $call, $name, at most $limit s: $*"
  timeout --signal=INT --kill-after=5 "$limit" "$@" >"$into/$name.log" 2>&1 </dev/null || status=$?
  printf '%s\t%s\t%s\t%s\n' "$name" "$status" "$((SECONDS - start))" "$version" >>"$into/steps.tsv"
  if broke "$name" "$status" && ((begun + CALL_SECONDS - SECONDS >= 10 && limit - SECONDS + start >= 10)); then
    echo "   ended with $status, begins anew"
    cp "$into/$name.log" "$into/$name.$SECONDS.log"
    local rest=() word
    for word; do [[ $word == --again || $word == --outcomes-again ]] || rest+=("$word"); done
    step "$name" "$((limit - SECONDS + start))" "${rest[@]}"
    return
  fi
  echo "   $(tail -n 1 "$into/$name.log" | cut -c 1-200)"
  if ((status)); then
    echo "   ended with $status; see $into/$name.log"
    failed=yes
  fi
}

broke() { # name, status: whether the process ended within a test or a row
  (($2 == 97 || $2 == 134 || $2 == 135 || $2 == 136 || $2 == 139)) && return
  (($2)) && [[ -f $into/$1.jsonl ]] && tail -n 1 "$into/$1.jsonl" |
    grep -qE '"outcome": "(begun|lost the device)"'
}

is_done() { # name: whether its last run, of these sources, ended well
  [[ -f $into/steps.tsv ]] && awk -F '\t' -v name="$1" -v version="$version" '
    $1 == name { done = ($2 == 0 && $4 == version) } END { exit !done }' "$into/steps.tsv"
}

mkdir -p "$into"
if [[ $install && ! $dry ]]; then
  shopt -s nullglob
  wheels=(.whl/*.whl)
  ((${#wheels[@]} == 0)) || "${python[@]}" -m pip install -q --no-index --no-deps "${wheels[@]}"
  "${python[@]}" -m pip install -q --no-index --no-deps --no-build-isolation -e .
fi

# Without a device all its tests would be skipped, which looks like success.
why='import sys; from hdseg_gpu.backends import reason_against; sys.exit(reason_against("cuda"))'
"${python[@]}" -c "$why"

planning=yes begun=0 version='' failed=''
for call in 1 2 3 4 5; do "call_$call"; done >"$into/plan.tsv"
planning=''
version=$("${python[@]}" -c 'from benchmarks import gpu_card; print(gpu_card.source_digest())')

for call in "${calls[@]}"; do
  # What is installed counts as the first call's time.
  [[ $call == "${calls[0]}" ]] || begun=$SECONDS
  "call_$call"
  "${python[@]}" -m benchmarks.gpu_summary "$into"
done
[[ ! $failed ]]
