// V̄ = Pᵀ Ō and K̄ = scale·S̄ᵀ Q of 64 keys of one head, summed over the queries of all heads that
// share it, in order: no sum depends on which block is faster. Everything is transposed, a row for
// each key. Shared memory: 64 rows of K and V, N of Q and Ō.
extern "C" __global__ void __launch_bounds__(128)
NAME(const Shape s, const T *__restrict__ q, const T *__restrict__ k, const T *__restrict__ v,
     const Mask *__restrict__ mask, const T *__restrict__ o_bar, const float *__restrict__ top_of,
     const float *__restrict__ part_of, const float *__restrict__ delta, T *__restrict__ k_bar,
     T *__restrict__ v_bar) {
    SHARED(float, k_tile);
    float *v_tile = k_tile + ROWS * (E + 4), *q_tile = v_tile + ROWS * (F + 4);
    float *g_tile = q_tile + N * (E + 4);
    const int tiles = (s.keys + ROWS - 1) / ROWS, of = s.heads / s.group;
    const int j0 = blockIdx.x % tiles * ROWS, batch = blockIdx.x / tiles / of;
    const int shared = blockIdx.x / tiles % of;
    load_rows<ROWS, E>(k_tile, k + batch * s.k[0] + shared * s.k[1] + j0 * s.k[2], s.k[2], s.keys - j0, s.e);
    load_rows<ROWS, F>(v_tile, v + batch * s.v[0] + shared * s.v[1] + j0 * s.v[2], s.v[2], s.keys - j0, s.f);

    const int g = lane_g(), t = lane_t(), first = j0 + warp() * 16;
    float for_k[E / 8][4] = {}, for_v[F / 8][4] = {};
    for (int h = shared * s.group; h < (shared + 1) * s.group; h++) {
        const Index head = (Index)batch * s.heads + h, at = head * s.length;
        const T *qs = q + batch * s.q[0] + h * s.q[1], *gs = o_bar + batch * s.g[0] + h * s.g[1];
        const Mask *seen = mask;
        if (KIND == FLOATS || KIND == BOOLS) seen += batch * s.mask[0] + h * s.mask[1];
        for (int i0 = KIND == CAUSAL ? j0 / N * N : 0; i0 < s.length; i0 += N) {
            __syncthreads();
            load_rows<N, E>(q_tile, qs + i0 * s.q[2], s.q[2], s.length - i0, s.e);
            load_rows<N, F>(g_tile, gs + i0 * s.g[2], s.g[2], s.length - i0, s.f);
            __syncthreads();
            if (KIND == CAUSAL && first > i0 + N - 1) continue;
            float x[N / 8][4], w[N / 8][4];
            rows_by_rows<E>(x, k_tile + warp() * 16 * (E + 4), q_tile);
            rows_by_rows<F>(w, v_tile + warp() * 16 * (F + 4), g_tile);
#pragma unroll
            for (int n = 0; n < N / 8; n++)
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    const int i = i0 + n * 8 + 2 * t + c;
                    const bool there = i < s.length;
                    const float top = there ? top_of[at + i] : 0.0f, part = there ? part_of[at + i] : 0.0f;
                    const float less = there ? delta[at + i] : 0.0f;
                    const unsigned long long key = DROPOUT ? row_key(s, at + i) : 0;
#pragma unroll
                    for (int r = 0; r < 2; r++) {
                        const int j = first + g + r * 8;
                        float &score_of = x[n][2 * r + c], &slope = w[n][2 * r + c];
                        const float p = exp_of(score(s, score_of, i, j, seen) - top) * part;
                        const float m = DROPOUT ? thinned(s, key, j) : 1.0f;
                        score_of = p * m;
                        slope = p * (slope * m - less);
                    }
                }
            add_weighted<F>(for_v, x, g_tile);
            add_weighted<E>(for_k, w, q_tile);
        }
    }
    const float scale[2] = {s.scale, s.scale}, one[2] = {1.0f, 1.0f};
    store_rows<E>(k_bar + batch * s.k_bar[0] + shared * s.k_bar[1], s.k_bar[2], j0, s.keys, s.e, for_k, scale);
    store_rows<F>(v_bar + batch * s.v_bar[0] + shared * s.v_bar[1], s.v_bar[2], j0, s.keys, s.f, for_v, one);
}
