# Sourced by .ci/run: what a new user does, on a machine without a C compiler and without learn2learn.

# a folder of links to the programs of this PATH, without any C compiler
make_path_without_compiler() {
    local folder=$1 from place
    mkdir -p "$folder"
    IFS=: read -ra from <<<"$PATH"
    for place in "${from[@]}"; do
        ln -s -t "$folder" "$place"/* 2>/dev/null || true # what an earlier place has stays
    done
    rm -f "$folder"/{cc,c++,tcc,c89*,c99*,gcc*,g++*,clang*,cpp*,*-gcc*,*-g++*,*-cpp*}
    ! PATH=$folder command -v cc gcc g++ clang
}

# without_compiler COMMAND...
without_compiler() {
    env PATH="$WITHOUT_COMPILER" CC=/nonexistent/cc LEARN2LEARN=no "$@"
}

demo_to_its_end() {
    without_compiler make demo </dev/null
    ! .venv/bin/python -c 'import learn2learn' 2>/dev/null
}

# `make app` up to the first page that is served
app_to_its_first_page() {
    local log=$SCRATCH/app.log address='' pid
    env BROWSER=true PATH="$WITHOUT_COMPILER" CC=/nonexistent/cc LEARN2LEARN=no setsid make app >"$log" 2>&1 &
    pid=$!
    for _ in $(seq 180); do
        address=$(sed -nE 's/.*the page is at (http[^ ]+).*/\1/p' "$log" | head -n 1)
        if [ -n "$address" ] && .venv/bin/python .ci/first_page.py "$address"; then
            kill -TERM -- "-$pid"
            wait "$pid" || true
            return 0
        fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 1
    done
    cat "$log"
    kill -TERM -- "-$pid" 2>/dev/null || true
    return 1
}

# a wheel in an environment with nothing else in it; every package comes anew, as for whoever types `pip install`
wheel_in_a_bare_environment() {
    .venv/bin/python -m pip wheel --quiet --no-deps --wheel-dir "$SCRATCH/wheel" .
    python3 -m venv "$SCRATCH/bare"
    without_compiler "$SCRATCH/bare/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint constraints.txt "$SCRATCH"/wheel/*.whl
}

# from a folder that is no checkout: all commands whose work needs no training data
programs_do_their_jobs_elsewhere() {
    local bin=$SCRATCH/bare/bin
    mkdir "$SCRATCH/elsewhere"
    cp .ci/two_classes.py "$SCRATCH/elsewhere"
    (
        cd "$SCRATCH/elsewhere"
        "$bin/python" -c 'import fewshot_film, importlib.util as find; assert not find.find_spec("benchmarks")'
        "$bin/clevr-film" generate --split val --scenes 6 --width 128 --height 96 --out world --workers 1
        "$bin/clevr-film" inspect world
        "$bin/clevr-film" evaluate clevr-small world --split val
        "$bin/clevr-film" ask world/images/val/CLEVR_val_000000.png 'How many cubes are there?'
        "$bin/clevr-film" objects --scenes 4 --out objects --workers 1
        "$bin/clevr-film" train --config clevr/small --print_config >/dev/null
        "$bin/python" two_classes.py
        "$bin/fewshot-film" pretrain --config glyphs/pretrain --out runs/pretrain --loop.steps 3 --loop.warmup_steps 1 --loop.patience null
        "$bin/fewshot-film" evaluate runs/pretrain/model --data.source glyphs --ways '[5]' --shots '[1]' --episodes 5
        "$bin/fewshot-film" compare --data labelled --splits 3
        "$bin/fewshot-film" classify --support labelled --query labelled --out named
    )
}
