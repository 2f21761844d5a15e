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
