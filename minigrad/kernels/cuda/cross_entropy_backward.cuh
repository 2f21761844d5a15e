// x̄ = ḡ (e^{x − norm} − (1 − s) [j = target] − s / n), 0 in ignored rows. x̄ may lie where x does:
// each element is read by the thread that writes it. `g` has one value, or one for each row (PER_ROW).
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Index rows, const int n, const A *__restrict__ g, const T *x,
     const I *__restrict__ target, const Index ignored, const A smoothing,
     const A *__restrict__ norm, T *x_bar) {
    const Index packs = n / V, count = rows * packs;
    const A share = smoothing / n;
    for (Index i = (Index)blockIdx.x * blockDim.x + threadIdx.x; i < count;
         i += (Index)gridDim.x * blockDim.x) {
        const Index row = i / packs, j = (i - row * packs) * V, t = target[row];
        const A scale = t == ignored ? 0 : g[PER_ROW ? row : 0], shift = norm[row];
        const Pack<T, V> pack = load<V>(x + row * n + j);
        Pack<T, V> out;
#pragma unroll
        for (int k = 0; k < V; k++) {
            const A hit = j + k == t ? 1 - smoothing : (A)0;
            const A slope = exp_of(widen(pack.at[k]) - shift) - hit - share;
            out.at[k] = narrow<T>(t == ignored ? (A)0 : scale * slope);
        }
        store(x_bar + row * n + j, out);
    }
}
