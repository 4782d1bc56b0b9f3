#!/bin/sh
# Builds the GPU half (no LLVM, OpenBLAS, packages: scripts/check-cuda-half), the emulated GPU, and the microbenchmarks.
. bench/gpu/common.sh

build_sinter() {
    [ -f carried/jansson/libjansson.a ] || command -v pkg-config >/dev/null || {
        echo "carried/ holds no libraries: run scripts/carry-libraries where the packages are, and take it along" >&2
        return 1
    }
    generator=""
    command -v ninja >/dev/null && generator="-G Ninja"
    # shellcheck disable=SC2086
    cmake -S . -B "$BUILD" $generator -DSINTER_CPU=OFF -DSINTER_CARRIED=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
        -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON >&2 &&
        cmake --build "$BUILD" -j "$(nproc)" --target sinter fake_cuda fake_nvrtc fake_cublaslt >&2
}

build_micro() {
    nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
    [ -x "$nvcc" ] || return 77
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d .)
    for name in nodes barriers products; do
        library=""
        [ $name = products ] && library=-lcublasLt
        # shellcheck disable=SC2086
        "$nvcc" -O2 -std=c++17 -arch="sm_${capability:-90}" -o "$WORK/$name" bench/gpu/$name.cu $library >&2 &
    done
    wait
    [ -x "$WORK/nodes" ] && [ -x "$WORK/barriers" ] && [ -x "$WORK/products" ]
}

build_micro &
micro=$!
if [ "$DRY" = 1 ] && [ -x "$SINTER" ]; then
    echo "the binary is there: $SINTER" >&2
else
    build_sinter || fail sinter
fi
wait $micro
case $? in
0) microbenchmarks=built ;;
77) microbenchmarks="not built: no nvcc" ;;
*) fail microbenchmarks && microbenchmarks="not built" ;;
esac
make_data || fail data
"$SINTER" info >"$WORK/info" 2>&1
printf '| what | |\n|---|---|\n| sinter | %s |\n' "$(wc -c <"$SINTER") bytes"
printf '| microbenchmarks | %s |\n' "$microbenchmarks"
exit $failed
