# Sourced by .ci/run: a part of the work with a name, its output, and one line about how long it took.

# part NAME COMMAND...: run, print `NAME: N s`, and keep that line for `print_times`
TIMES=()
part() {
    local name=$1 began=$SECONDS
    shift
    echo "--- $name"
    "$@"
    TIMES+=("$name: $((SECONDS - began)) s")
    echo "--- ${TIMES[-1]}"
}

print_times() {
    printf 'time of %s\n' "${TIMES[@]}" "everything: $SECONDS s"
}
