// The mean of a part, and its sum of squared differences from that.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Shape s, const T *__restrict__ x, A *__restrict__ mean_of, A *__restrict__ spread_of) {
    __shared__ A scratch[8];
    const A count = (A)(first_row(s, blockIdx.y + 1, gridDim.y) - first_row(s, blockIdx.y, gridDim.y)) * s.run;
    A sum = 0, spread = 0;
    walk(s, [&](Index at) {
        const Pack<T, V> pack = load<V>(x + at);
#pragma unroll
        for (int k = 0; k < V; k++) sum += widen(pack.at[k]);
    });
    const A mean = reduce<256, Add>(sum, scratch) / count;
    walk(s, [&](Index at) {
        const Pack<T, V> pack = load<V>(x + at);
#pragma unroll
        for (int k = 0; k < V; k++) {
            const A d = widen(pack.at[k]) - mean;
            spread += d * d;
        }
    });
    spread = reduce<256, Add>(spread, scratch);
    if (threadIdx.x == 0) {
        mean_of[blockIdx.y * s.channels + blockIdx.x] = mean;
        spread_of[blockIdx.y * s.channels + blockIdx.x] = spread;
    }
}
