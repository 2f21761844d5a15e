// y = (x − mean) · rstd · weight + bias of rows of n neighbours; RMS: the mean is taken to be 0.
// mean and rstd are kept for backward, in A. The variance is that of differences from the mean, a
// second pass over the row, which lies in the cache.
//
// T stored, A computed; WEIGHT, BIAS: whether they are there; GROUP threads share a row. ADD: of
// x + more, which is written to `sum`: every thread reads again what it has written itself.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Index rows, const int n, const T *__restrict__ x, const T *__restrict__ weight,
     const T *__restrict__ bias, const A eps, T *__restrict__ y, A *__restrict__ mean,
     A *__restrict__ rstd, const T *__restrict__ more, T *sum) {
    __shared__ A scratch[8];
    const int lane = threadIdx.x % GROUP, per_block = blockDim.x / GROUP;
    for (Index row = (Index)blockIdx.x * per_block + threadIdx.x / GROUP; row < rows;
         row += (Index)gridDim.x * per_block) {
        const T *xs = ADD ? sum + row * n : x + row * n;
        if (ADD) {
            for (int j = lane * V; j < n; j += GROUP * V) {
                const Pack<T, V> px = load<V>(x + row * n + j), pm = load<V>(more + row * n + j);
                Pack<T, V> out;
#pragma unroll
                for (int k = 0; k < V; k++) out.at[k] = narrow<T>(widen(px.at[k]) + widen(pm.at[k]));
                store(sum + row * n + j, out);
            }
        }
        A centre = 0, spread = 0;
        if (!RMS) {
            for (int j = lane * V; j < n; j += GROUP * V) {
                const Pack<T, V> pack = load<V>(xs + j);
#pragma unroll
                for (int k = 0; k < V; k++) centre += widen(pack.at[k]);
            }
            centre = reduce<GROUP, Add>(centre, scratch) / n;
        }
        for (int j = lane * V; j < n; j += GROUP * V) {
            const Pack<T, V> pack = load<V>(xs + j);
#pragma unroll
            for (int k = 0; k < V; k++) {
                const A d = widen(pack.at[k]) - centre;
                spread += d * d;
            }
        }
        const A scale = 1 / sqrt_of(reduce<GROUP, Add>(spread, scratch) / n + eps);
        for (int j = lane * V; j < n; j += GROUP * V) {
            const Pack<T, V> pack = load<V>(xs + j);
            Pack<T, V> w, b, out;
            if (WEIGHT) w = load<V>(weight + j);
            if (BIAS) b = load<V>(bias + j);
#pragma unroll
            for (int k = 0; k < V; k++) {
                A v = (widen(pack.at[k]) - centre) * scale;
                if (WEIGHT) v *= widen(w.at[k]);
                if (BIAS) v += widen(b.at[k]);
                out.at[k] = narrow<T>(v);
            }
            store(y + row * n + j, out);
        }
        if (lane == 0) {
            if (!RMS) mean[row] = centre;
            rstd[row] = scale;
        }
    }
}
