// All elements times 1 / scale; found becomes 1 if one of them is inf or nan (all threads that find
// one write the same).
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const int count, const int chunks, const float *scale, float *found, const Table at) {
    const float inverse = 1 / *scale;
    bool bad = false;
    for (int c = blockIdx.x; c < chunks; c += gridDim.x) {
        const int k = tensor_of(at, count, c);
        const Index start = (Index)(c - at.first[k]) * CHUNK;
        const int n = length(at, k, start);
        T *x = at.at[0][k] + start;
        const int whole = ((unsigned long long)x & 15) == 0 ? n / V * V : 0;
        for (int i = threadIdx.x * V; i < whole; i += blockDim.x * V) {
            Pack<T, V> pack = load<V>(x + i);
#pragma unroll
            for (int j = 0; j < V; j++) {
                const A v = widen(pack.at[j]);
                bad |= !(v - v == 0);
                pack.at[j] = narrow<T>(v * inverse);
            }
            store(x + i, pack);
        }
        for (int i = whole + threadIdx.x; i < n; i += blockDim.x) {
            const A v = widen(x[i]);
            bad |= !(v - v == 0);
            x[i] = narrow<T>(v * inverse);
        }
    }
    if (bad) *found = 1;
}
