// x̄ = rstd · weight (ȳ − mean(ȳ) − x̂ mean(ȳ x̂)), w̄ = Σ ȳ x̂, b̄ = Σ ȳ.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Shape s, const T *__restrict__ g, const T *__restrict__ x, const T *__restrict__ weight,
     const double *__restrict__ stats, const A *__restrict__ products_of, const A *__restrict__ totals_of,
     T *__restrict__ x_bar, T *__restrict__ weight_bar, T *__restrict__ bias_bar) {
    const A mean = (A)stats[blockIdx.x], rstd = (A)stats[2 * s.channels + blockIdx.x];
    const A scale = rstd * (WEIGHT ? widen(weight[blockIdx.x]) : (A)1), count = (A)s.rows * s.run;
    A product = 0, total = 0;
    for (int p = 0; p < gridDim.y; p++) {
        product += products_of[p * s.channels + blockIdx.x];
        total += totals_of[p * s.channels + blockIdx.x];
    }
    if (threadIdx.x == 0 && blockIdx.y == 0) {
        weight_bar[blockIdx.x] = narrow<T>(product);
        bias_bar[blockIdx.x] = narrow<T>(total);
    }
    product /= count;
    total /= count;
    walk(s, [&](Index at) {
        const Pack<T, V> pg = load<V>(g + at), px = load<V>(x + at);
        Pack<T, V> out;
#pragma unroll
        for (int k = 0; k < V; k++) {
            const A hat = (widen(px.at[k]) - mean) * rstd;
            out.at[k] = narrow<T>(scale * (widen(pg.at[k]) - total - hat * product));
        }
        store(x_bar + at, out);
    });
}
