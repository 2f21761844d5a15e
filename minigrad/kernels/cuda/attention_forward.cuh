// O = P V of 64 queries of one head (Dao, FlashAttention-2, 2023, algorithm 1): for every query the
// largest score so far, the sum of weights and the weighted sum of values are kept in registers, and
// scaled down when a larger score appears. Kept for backward: the largest score and 1 / Σ P.
//
// On a grid of (heads of queries · tiles of 64): the last tiles, the longest ones of a causal mask,
// come first. Shared memory: 64 rows of Q, N of K, N of V.
extern "C" __global__ void __launch_bounds__(128)
NAME(const Shape s, const T *__restrict__ q, const T *__restrict__ k, const T *__restrict__ v,
     const Mask *__restrict__ mask, T *__restrict__ o, float *__restrict__ top_of,
     float *__restrict__ part_of) {
    SHARED(float, q_tile);
    float *k_tile = q_tile + ROWS * (E + 4), *v_tile = k_tile + N * (E + 4);
    const int tiles = (s.length + ROWS - 1) / ROWS;
    const int head = blockIdx.x / tiles, i0 = (tiles - 1 - blockIdx.x % tiles) * ROWS;
    const int batch = head / s.heads, h = head % s.heads, shared = h / s.group;
    q += batch * s.q[0] + h * s.q[1] + i0 * s.q[2];
    k += batch * s.k[0] + shared * s.k[1];
    v += batch * s.v[0] + shared * s.v[1];
    if (KIND == FLOATS || KIND == BOOLS) mask += batch * s.mask[0] + h * s.mask[1];
    load_rows<ROWS, E>(q_tile, q, s.q[2], s.length - i0, s.e);

    const int g = lane_g(), t = lane_t(), first = i0 + warp() * 16;
    float y[F / 8][4] = {}, top[2] = {-INFINITY, -INFINITY}, sum[2] = {};
    unsigned long long keys_of[2];
    if (DROPOUT)
        for (int r = 0; r < 2; r++) keys_of[r] = row_key(s, (Index)head * s.length + first + g + r * 8);
    const int stop = KIND == CAUSAL ? min(s.keys, i0 + ROWS) : s.keys;
    for (int j0 = 0; j0 < stop; j0 += N) {
        __syncthreads();  // the last tiles have been read
        load_rows<N, E>(k_tile, k + j0 * s.k[2], s.k[2], s.keys - j0, s.e);
        load_rows<N, F>(v_tile, v + j0 * s.v[2], s.v[2], s.keys - j0, s.f);
        __syncthreads();
        if (KIND == CAUSAL && j0 > first + 15) continue;
        float x[N / 8][4];
        rows_by_rows<E>(x, q_tile + warp() * 16 * (E + 4), k_tile);
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const int i = first + g + r * 8;
            float highest = top[r];
#pragma unroll
            for (int n = 0; n < N / 8; n++)
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    float &w = x[n][2 * r + c];
                    w = score(s, w, i, j0 + n * 8 + 2 * t + c, mask);
                    highest = maximum(highest, w);
                }
            highest = maximum(highest, __shfl_xor_sync(0xffffffffu, highest, 1));
            highest = maximum(highest, __shfl_xor_sync(0xffffffffu, highest, 2));
            const float base = highest == -INFINITY ? 0.0f : highest;
            const float shrink = exp_of(top[r] - base);
            top[r] = highest;
            sum[r] *= shrink;
#pragma unroll
            for (int n = 0; n < N / 8; n++)
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    float &w = x[n][2 * r + c];
                    w = exp_of(w - base);
                    sum[r] += w;
                    if (DROPOUT) w *= thinned(s, keys_of[r], j0 + n * 8 + 2 * t + c);
                }
#pragma unroll
            for (int j = 0; j < F / 8; j++) {
                y[j][2 * r] *= shrink;
                y[j][2 * r + 1] *= shrink;
            }
        }
        add_weighted<F>(y, x, v_tile);
    }
    float part[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        sum[r] += __shfl_xor_sync(0xffffffffu, sum[r], 1);
        sum[r] += __shfl_xor_sync(0xffffffffu, sum[r], 2);
        part[r] = sum[r] == 0 ? 0.0f : 1 / sum[r];  // a query that sees no key
        const int i = first + g + r * 8;
        if (t == 0 && i < s.length) {
            top_of[(Index)head * s.length + i] = top[r] == -INFINITY ? 0.0f : top[r];
            part_of[(Index)head * s.length + i] = part[r];
        }
    }
    store_rows<F>(o + batch * s.o[0] + h * s.o[1], s.o[2], i0, s.length, s.f, y, part);
}
