// Σ ȳ x̂ and Σ ȳ of a part.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Shape s, const T *__restrict__ g, const T *__restrict__ x, const double *__restrict__ stats,
     A *__restrict__ products_of, A *__restrict__ totals_of) {
    __shared__ A scratch[8];
    const A mean = (A)stats[blockIdx.x], rstd = (A)stats[2 * s.channels + blockIdx.x];
    A product = 0, total = 0;
    walk(s, [&](Index at) {
        const Pack<T, V> pg = load<V>(g + at), px = load<V>(x + at);
#pragma unroll
        for (int k = 0; k < V; k++) {
            product += widen(pg.at[k]) * ((widen(px.at[k]) - mean) * rstd);
            total += widen(pg.at[k]);
        }
    });
    product = reduce<256, Add>(product, scratch);
    total = reduce<256, Add>(total, scratch);
    if (threadIdx.x == 0) {
        products_of[blockIdx.y * s.channels + blockIdx.x] = product;
        totals_of[blockIdx.y * s.channels + blockIdx.x] = total;
    }
}
