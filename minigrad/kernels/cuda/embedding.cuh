// The gradient of rows that were looked up: weight̄[r] = Σ ȳ[i] over the positions i of row r, in
// order of position. `rows` are the looked-up numbers sorted (stably), `position` where each was.
//
// A warp starts at every sorted place, and goes on if its row begins there: 32 · V columns for each
// step of blockIdx.y. Rows that were never looked up are left as they are (0). A row that is looked
// up very often is summed by one warp alone: deterministic, and slow for such rows.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Index count, const int n, const I *__restrict__ rows, const Index *__restrict__ position,
     const Index padding, const T *__restrict__ g, T *__restrict__ weight_bar) {
    const int lane = threadIdx.x % 32;
    const int j = (blockIdx.y * 32 + lane) * V;
    for (Index i = (Index)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32; i < count;
         i += (Index)gridDim.x * (blockDim.x / 32)) {
        const Index row = rows[i];
        if ((i > 0 && rows[i - 1] == row) || row == padding || j >= n) continue;
        A total[V] = {};
        for (Index s = i; s < count && rows[s] == row; s++) {
            const Pack<T, V> pack = load<V>(g + position[s] * n + j);
#pragma unroll
            for (int k = 0; k < V; k++) total[k] += widen(pack.at[k]);
        }
        Pack<T, V> out;
#pragma unroll
        for (int k = 0; k < V; k++) out.at[k] = narrow<T>(total[k]);
        store(weight_bar + row * n + j, out);
    }
}
