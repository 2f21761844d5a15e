// x̄ = rstd (h − mean(h) − n̂ mean(h n̂)) with h = ȳ · weight and n̂ = (x − mean) · rstd;
// RMS: without mean(h). Names as in norm.cuh; ADD: `more` is added.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Index rows, const int n, const T *__restrict__ g, const T *__restrict__ x,
     const T *__restrict__ weight, const A *__restrict__ mean, const A *__restrict__ rstd,
     T *__restrict__ x_bar, const T *__restrict__ more) {
    __shared__ A scratch[8];
    const int lane = threadIdx.x % GROUP, per_block = blockDim.x / GROUP;
    for (Index row = (Index)blockIdx.x * per_block + threadIdx.x / GROUP; row < rows;
         row += (Index)gridDim.x * per_block) {
        const T *xs = x + row * n, *gs = g + row * n;
        const A centre = RMS ? (A)0 : mean[row], scale = rstd[row];
        A sum = 0, product = 0;
        for (int j = lane * V; j < n; j += GROUP * V) {
            const Pack<T, V> px = load<V>(xs + j), pg = load<V>(gs + j);
            Pack<T, V> w;
            if (WEIGHT) w = load<V>(weight + j);
#pragma unroll
            for (int k = 0; k < V; k++) {
                const A h = WEIGHT ? widen(pg.at[k]) * widen(w.at[k]) : widen(pg.at[k]);
                sum += h;
                product += h * ((widen(px.at[k]) - centre) * scale);
            }
        }
        product = reduce<GROUP, Add>(product, scratch) / n;
        sum = RMS ? 0 : reduce<GROUP, Add>(sum, scratch) / n;
        for (int j = lane * V; j < n; j += GROUP * V) {
            const Pack<T, V> px = load<V>(xs + j), pg = load<V>(gs + j);
            Pack<T, V> w, m, out;
            if (WEIGHT) w = load<V>(weight + j);
            if (ADD) m = load<V>(more + row * n + j);
#pragma unroll
            for (int k = 0; k < V; k++) {
                const A h = WEIGHT ? widen(pg.at[k]) * widen(w.at[k]) : widen(pg.at[k]);
                const A hat = (widen(px.at[k]) - centre) * scale;
                const A mine = scale * (h - sum - hat * product);
                out.at[k] = narrow<T>(ADD ? mine + widen(m.at[k]) : mine);
            }
            store(x_bar + row * n + j, out);
        }
    }
}
