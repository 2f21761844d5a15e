// Q̄ = scale·S̄ K with S̄ = P (P̄ − δ), P̄ = Ō Vᵀ, of 64 queries of one head. P is computed again from
// what forward kept. Shared memory: 64 rows of Q and Ō, N of K and V.
extern "C" __global__ void __launch_bounds__(128)
NAME(const Shape s, const T *__restrict__ q, const T *__restrict__ k, const T *__restrict__ v,
     const Mask *__restrict__ mask, const T *__restrict__ o_bar, const float *__restrict__ top_of,
     const float *__restrict__ part_of, const float *__restrict__ delta, T *__restrict__ q_bar) {
    SHARED(float, q_tile);
    float *g_tile = q_tile + ROWS * (E + 4), *k_tile = g_tile + ROWS * (F + 4);
    float *v_tile = k_tile + N * (E + 4);
    const int tiles = (s.length + ROWS - 1) / ROWS;
    const int head = blockIdx.x / tiles, i0 = (tiles - 1 - blockIdx.x % tiles) * ROWS;
    const int batch = head / s.heads, h = head % s.heads, shared = h / s.group;
    k += batch * s.k[0] + shared * s.k[1];
    v += batch * s.v[0] + shared * s.v[1];
    if (KIND == FLOATS || KIND == BOOLS) mask += batch * s.mask[0] + h * s.mask[1];
    load_rows<ROWS, E>(q_tile, q + batch * s.q[0] + h * s.q[1] + i0 * s.q[2], s.q[2], s.length - i0, s.e);
    load_rows<ROWS, F>(g_tile, o_bar + batch * s.g[0] + h * s.g[1] + i0 * s.g[2], s.g[2],
                       s.length - i0, s.f);

    const int g = lane_g(), t = lane_t(), first = i0 + warp() * 16;
    float y[E / 8][4] = {}, top[2], part[2], less[2];
    unsigned long long keys_of[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int i = first + g + r * 8;
        const Index row = (Index)head * s.length + i;
        const bool there = i < s.length;
        top[r] = there ? top_of[row] : 0.0f;
        part[r] = there ? part_of[row] : 0.0f;
        less[r] = there ? delta[row] : 0.0f;
        if (DROPOUT) keys_of[r] = row_key(s, row);
    }
    const int stop = KIND == CAUSAL ? min(s.keys, i0 + ROWS) : s.keys;
    for (int j0 = 0; j0 < stop; j0 += N) {
        __syncthreads();
        load_rows<N, E>(k_tile, k + j0 * s.k[2], s.k[2], s.keys - j0, s.e);
        load_rows<N, F>(v_tile, v + j0 * s.v[2], s.v[2], s.keys - j0, s.f);
        __syncthreads();
        if (KIND == CAUSAL && j0 > first + 15) continue;
        float x[N / 8][4], w[N / 8][4];
        rows_by_rows<E>(x, q_tile + warp() * 16 * (E + 4), k_tile);
        rows_by_rows<F>(w, g_tile + warp() * 16 * (F + 4), v_tile);
#pragma unroll
        for (int n = 0; n < N / 8; n++)
#pragma unroll
            for (int c = 0; c < 4; c++) {
                const int r = c / 2, j = j0 + n * 8 + 2 * t + c % 2;
                const float p = exp_of(score(s, x[n][c], first + g + r * 8, j, mask) - top[r]) * part[r];
                const float m = DROPOUT ? thinned(s, keys_of[r], j) : 1.0f;
                x[n][c] = p * (w[n][c] * m - less[r]);
            }
        add_weighted<E>(y, x, k_tile);
    }
    const float factor[2] = {s.scale, s.scale};
    store_rows<E>(q_bar + batch * s.q_bar[0] + h * s.q_bar[1], s.q_bar[2], i0, s.length, s.e, y, factor);
}
