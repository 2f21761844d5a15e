// softmax:      x̄ = y (ȳ − Σ ȳ y)
// log-softmax:  x̄ = ȳ − e^y Σ ȳ
// of rows of n neighbours; GROUP threads share a row. Other names as in softmax.cuh.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Index rows, const int n, const T *__restrict__ g, const T *__restrict__ y,
     T *__restrict__ x_bar) {
    __shared__ A scratch[8];
    const int lane = threadIdx.x % GROUP, per_block = blockDim.x / GROUP;
    for (Index row = (Index)blockIdx.x * per_block + threadIdx.x / GROUP; row < rows;
         row += (Index)gridDim.x * per_block) {
        const T *gs = g + row * n, *ys = y + row * n;
        A total = 0;
        for (int j = lane * V; j < n; j += GROUP * V) {
            const Pack<T, V> pg = load<V>(gs + j), py = load<V>(ys + j);
#pragma unroll
            for (int k = 0; k < V; k++)
                total += LOGARITHM ? widen(pg.at[k]) : widen(pg.at[k]) * widen(py.at[k]);
        }
        total = reduce<GROUP, Add>(total, scratch);
        for (int j = lane * V; j < n; j += GROUP * V) {
            const Pack<T, V> pg = load<V>(gs + j), py = load<V>(ys + j);
            Pack<T, V> out;
#pragma unroll
            for (int k = 0; k < V; k++) {
                const A gk = widen(pg.at[k]), yk = widen(py.at[k]);
                out.at[k] = narrow<T>(LOGARITHM ? gk - exp_of(yk) * total : yk * (gk - total));
            }
            store(x_bar + row * n + j, out);
        }
    }
}
