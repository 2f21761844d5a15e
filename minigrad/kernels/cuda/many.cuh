// Arrays by the table: tensor k has its elements at at.at[·][k], and its chunks from at.first[k] on.
struct Table {
    T *at[ARRAYS][K];
    Index size[K];
    int first[K + 1];
};

// The tensor that chunk c belongs to, of `count`.
static __device__ __forceinline__ int tensor_of(const Table &at, int count, int c) {
    int k = 0, above = count;
    while (above - k > 1) {
        const int middle = (k + above) / 2;
        if (at.first[middle] <= c) k = middle;
        else above = middle;
    }
    return k;
}

// How many of its elements are in the chunk that begins at `start`.
static __device__ __forceinline__ int length(const Table &at, int k, Index start) {
    const Index rest = at.size[k] - start;
    return rest < CHUNK ? (int)rest : CHUNK;
}

// x = f(x) for every element of all tensors.
template <typename F>
static __device__ __forceinline__ void replace(const Table &at, int count, int chunks, F f) {
    for (int c = blockIdx.x; c < chunks; c += gridDim.x) {
        const int k = tensor_of(at, count, c);
        const Index start = (Index)(c - at.first[k]) * CHUNK;
        const int n = length(at, k, start);
        T *x = at.at[0][k] + start;
        const int whole = ((unsigned long long)x & 15) == 0 ? n / V * V : 0;
        for (int i = threadIdx.x * V; i < whole; i += blockDim.x * V) {
            Pack<T, V> pack = load<V>(x + i);
#pragma unroll
            for (int j = 0; j < V; j++) pack.at[j] = f(pack.at[j]);
            store(x + i, pack);
        }
        for (int i = whole + threadIdx.x; i < n; i += blockDim.x) x[i] = f(x[i]);
    }
}
