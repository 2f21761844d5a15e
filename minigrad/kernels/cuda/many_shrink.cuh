// All elements times bound / (norm + 1e-6) if that is below 1, or no number: nan must show.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const int count, const int chunks, const double bound, const R *norm, const Table at) {
    const double ratio = bound / ((double)widen(*norm) + 1e-6);
    if (ratio >= 1) return;
    const A factor = (A)ratio;
    for (int c = blockIdx.x; c < chunks; c += gridDim.x) {
        const int k = tensor_of(at, count, c);
        const Index start = (Index)(c - at.first[k]) * CHUNK;
        const int n = length(at, k, start);
        T *x = at.at[0][k] + start;
        const int whole = ((unsigned long long)x & 15) == 0 ? n / V * V : 0;
        for (int i = threadIdx.x * V; i < whole; i += blockDim.x * V) {
            Pack<T, V> pack = load<V>(x + i);
#pragma unroll
            for (int j = 0; j < V; j++) pack.at[j] = narrow<T>(widen(pack.at[j]) * factor);
            store(x + i, pack);
        }
        for (int i = whole + threadIdx.x; i < n; i += blockDim.x)
            x[i] = narrow<T>(widen(x[i]) * factor);
    }
}
