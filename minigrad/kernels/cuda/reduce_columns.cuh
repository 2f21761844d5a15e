// One value for each column of [outer, n, inner]: a warp takes 32 · V neighbouring columns, the 8
// warps of a block every eighth row of a part, block (c, o · parts + p) writes
// out[(o · parts + p) · inner + column]. Names as in reduce_rows.cuh.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Index outer, const Index n, const Index inner, const int parts, const A scale,
     const T *__restrict__ x, R *__restrict__ out) {
    __shared__ A sums[8][32 * V];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const Index column = ((Index)blockIdx.x * 32 + lane) * V;
    for (Index item = blockIdx.y; item < outer * parts; item += gridDim.y) {
        const Index o = item / parts, part = item - o * parts;
        const Index first = n * part / parts, last = n * (part + 1) / parts;
        A total[V];
#pragma unroll
        for (int k = 0; k < V; k++) total[k] = OP<A>::identity();
        if (column < inner)
            for (Index row = first + warp; row < last; row += 8) {
                const Pack<T, V> pack = load<V>(x + (o * n + row) * inner + column);
#pragma unroll
                for (int k = 0; k < V; k++) {
                    const A v = widen(pack.at[k]);
                    total[k] = OP<A>::of(total[k], MAP == 1 ? v * v : MAP == 2 ? abs_of(v) : v);
                }
            }
#pragma unroll
        for (int k = 0; k < V; k++) sums[warp][k * 32 + lane] = total[k];
        __syncthreads();
        if (warp == 0 && column < inner)
#pragma unroll
            for (int k = 0; k < V; k++) {
                A all = sums[0][k * 32 + lane];
                for (int r = 1; r < 8; r++) all = OP<A>::of(all, sums[r][k * 32 + lane]);
                out[item * inner + column + k] = narrow<R>(all * scale);
            }
        __syncthreads();  // before the next item's sums are written
    }
}
