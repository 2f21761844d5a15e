// Tiles of attention: S = scale·Q Kᵀ + mask, O = P V, and their gradients. Included by the kernels in
// attention_*.cuh.
//
// A warp owns 16 rows of a tile. Scores that come out of a product as its D go into the next one as its
// A: what that sums over may come in any order, so columns t and t + 4 of A, and rows of B, are taken
// to mean 2t and 2t + 1.
//
// Rows of a tile in shared memory start four numbers apart from a multiple of 8: the 32 lanes that
// read a fragment then meet 32 different banks.
struct Shape {
    int heads, group, length, keys, e, f;  // group: query heads that share one of keys and values
    float scale, keep;                     // keep: 1 / (1 − p) of dropout
    unsigned threshold;                    // of 2³² random numbers so many are dropped
    unsigned long long seed;
    Index q[3], k[3], v[3], o[3], mask[4];  // elements to the next batch, head, row (mask: and key)
    Index g[3], q_bar[3], k_bar[3], v_bar[3];
};

constexpr int THREADS = 128, ROWS = 64;  // four warps of 16 rows

// x[n] = 16 rows of a (width W) times 8 rows of b each
template <int W, int N>
__device__ __forceinline__ void rows_by_rows(float (&x)[N][4], const float *a, const float *b) {
    constexpr int S = W + 4;
    const int g = lane_g(), t = lane_t();
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int k = 0; k < 4; k++) x[n][k] = 0;
#pragma unroll 4
    for (int k = 0; k < W; k += 8) {
        Fragment<4> fa;
#pragma unroll
        for (int i = 0; i < 4; i++) fa.set(i, a[(g + i % 2 * 8) * S + k + t + i / 2 * 4]);
#pragma unroll
        for (int n = 0; n < N; n++) {
            Fragment<2> fb;
#pragma unroll
            for (int i = 0; i < 2; i++) fb.set(i, b[(n * 8 + g) * S + k + t + i * 4]);
            add_product(x[n], fa, fb);
        }
    }
}

// y (16 rows of width W) += x, as rows_by_rows leaves it, times 8 N rows of b
template <int W, int N>
__device__ __forceinline__ void add_weighted(float (&y)[W / 8][4], const float (&x)[N][4], const float *b) {
    constexpr int S = W + 4;
    const int g = lane_g(), t = lane_t();
#pragma unroll
    for (int n = 0; n < N; n++) {
        Fragment<4> fa;
#pragma unroll
        for (int i = 0; i < 4; i++) fa.set(i, x[n][i % 2 * 2 + i / 2]);
#pragma unroll
        for (int j = 0; j < W / 8; j++) {
            Fragment<2> fb;
#pragma unroll
            for (int i = 0; i < 2; i++) fb.set(i, b[(n * 8 + 2 * t + i) * S + j * 8 + g]);
            add_product(y[j], fa, fb);
        }
    }
}

// R rows of a matrix into shared memory, with zeros where it has none
template <int R, int W>
__device__ __forceinline__ void load_rows(float *to, const T *from, Index step, int rows, int width) {
    for (int i = threadIdx.x * V; i < R * W; i += THREADS * V) {
        const int r = i / W, c = i % W;
        float *place = to + r * (W + 4) + c;
        if (r < rows && c < width) {
            const Pack<T, V> pack = load<V>(from + r * step + c);
#pragma unroll
            for (int k = 0; k < V; k++) place[k] = widen(pack.at[k]);
        } else {
#pragma unroll
            for (int k = 0; k < V; k++) place[k] = 0;
        }
    }
}

// the warp's 16 rows of a result
template <int W>
__device__ __forceinline__ void store_rows(T *to, Index step, int first, int rows, int width,
                                           const float (&y)[W / 8][4], const float (&factor)[2]) {
    const int g = lane_g(), t = lane_t();
#pragma unroll
    for (int j = 0; j < W / 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = first + warp() * 16 + g + i / 2 * 8, c = j * 8 + 2 * t + i % 2;
            if (row < rows && c < width) to[row * step + c] = narrow<T>(y[j][i] * factor[i / 2]);
        }
}

enum { NO_MASK, CAUSAL, FLOATS, BOOLS };

// the score of query i and key j; −∞ where the key is not seen
__device__ __forceinline__ float score(const Shape &s, float x, int i, int j, const Mask *mask) {
    if (i >= s.length || j >= s.keys || (KIND == CAUSAL && j > i)) return -INFINITY;
    x *= s.scale;
    if (KIND == FLOATS) x += (float)widen(mask[i * s.mask[2] + j * s.mask[3]]);
    if (KIND == BOOLS && !widen(mask[i * s.mask[2] + j * s.mask[3]])) return -INFINITY;
    return x;
}

// The random bits of kernels/cpu/random.py: a function of the seed, the row and the key.
__device__ __forceinline__ unsigned long long row_key(const Shape &s, Index row) {
    unsigned long long z = (row + 1) * 0x9E3779B97F4A7C15ull + s.seed;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}
__device__ __forceinline__ float thinned(const Shape &s, unsigned long long key, int j) {
    unsigned x = (unsigned)j ^ (unsigned)(key >> 32);
    x = (x ^ (x >> 16)) * 0x7FEB352Du;
    x = (x ^ (x >> 15)) + (unsigned)key;
    x *= 0x846CA68Bu;
    x ^= x >> 16;
    return x >= s.threshold ? s.keep : 0.0f;
}
