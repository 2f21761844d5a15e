// Gradients of weight and bias, Σ over rows of ȳ n̂ and ȳ: block (c, p) adds the rows of part p for
// 32 · V columns, its 8 warps every eighth row, and writes partial sums [parts, n] in A. The last of
// the blocks of these columns adds up the parts; ticket[c] is 0, and left so. Every order is fixed.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Index rows, const int n, const T *__restrict__ g, const T *__restrict__ x,
     const A *__restrict__ mean, const A *__restrict__ rstd, A *weight_parts, A *bias_parts,
     unsigned *ticket, T *weight_bar, T *bias_bar) {
    __shared__ unsigned last_block;
    __shared__ A sums[2][8][32 * V];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int j = (blockIdx.x * 32 + lane) * V, part = blockIdx.y;
    const Index first = rows * part / gridDim.y, last = rows * (part + 1) / gridDim.y;
    A w[V] = {}, b[V] = {};
    if (j < n)
        for (Index row = first + warp; row < last; row += 8) {
            const Pack<T, V> pg = load<V>(g + row * n + j), px = load<V>(x + row * n + j);
            const A centre = RMS ? (A)0 : mean[row], scale = rstd[row];
#pragma unroll
            for (int k = 0; k < V; k++) {
                w[k] += widen(pg.at[k]) * ((widen(px.at[k]) - centre) * scale);
                if (BIAS) b[k] += widen(pg.at[k]);
            }
        }
#pragma unroll
    for (int k = 0; k < V; k++) {
        sums[0][warp][k * 32 + lane] = w[k];
        if (BIAS) sums[1][warp][k * 32 + lane] = b[k];
    }
    __syncthreads();
    if (warp < 1 + BIAS && j < n) {
        A *parts = warp ? bias_parts : weight_parts;
#pragma unroll
        for (int k = 0; k < V; k++) {
            A total = 0;
            for (int r = 0; r < 8; r++) total += sums[warp][r][k * 32 + lane];
            parts[(Index)part * n + j + k] = total;
        }
        __threadfence();
    }
    __syncthreads();
    if (threadIdx.x == 0) last_block = atomicAdd(ticket + blockIdx.x, 1u) == gridDim.y - 1;
    __syncthreads();
    if (!last_block) return;
    if (threadIdx.x == 0) ticket[blockIdx.x] = 0;
    if (warp < 1 + BIAS && j < n) {
        __threadfence();  // what the other blocks wrote is there
        const volatile A *parts = warp ? bias_parts : weight_parts;
        T *out = warp ? bias_bar : weight_bar;
#pragma unroll
        for (int k = 0; k < V; k++) {
            A total = 0;
            for (int p = 0; p < gridDim.y; p++) total += parts[(Index)p * n + j + k];
            out[j + k] = narrow<T>(total);
        }
    }
}
