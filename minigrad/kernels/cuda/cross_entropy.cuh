// −log softmax(x)[target] of rows of n classes, of which no softmax is written: loss and log Σ e^x
// in A. With label smoothing s the target is (1 − s) of it and s / n of every class. Rows whose
// target is `ignored` have loss 0. A target that is no class leaves nan: nothing here can raise.
//
// T logits, A computed, I targets; GROUP threads share a row, V logits are moved at once.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Index rows, const int n, const T *__restrict__ x, const I *__restrict__ target,
     const Index ignored, const A smoothing, A *__restrict__ loss, A *__restrict__ norm) {
    __shared__ A scratch[8];
    const int lane = threadIdx.x % GROUP, per_block = blockDim.x / GROUP;
    for (Index row = (Index)blockIdx.x * per_block + threadIdx.x / GROUP; row < rows;
         row += (Index)gridDim.x * per_block) {
        const T *xs = x + row * n;
        A top = -(A)INFINITY, total = 0, sum = 0;
        for (int j = lane * V; j < n; j += GROUP * V) {
            const Pack<T, V> pack = load<V>(xs + j);
#pragma unroll
            for (int k = 0; k < V; k++) {
                const A v = widen(pack.at[k]);
                sum += v;
                if (v > top) {
                    total = total * exp_of(top - v) + 1;
                    top = v;
                } else {
                    total += v == top ? (A)1 : exp_of(v - top);
                }
            }
        }
        const A highest = reduce<GROUP, Maximum>(top, scratch);
        total = top == highest ? total : total * exp_of(top - highest);
        total = reduce<GROUP, Add>(total, scratch);
        if (SMOOTH) sum = reduce<GROUP, Add>(sum, scratch);
        if (lane == 0) {
            const Index t = target[row];
            const A logarithm = log_of(total);
            norm[row] = highest + logarithm;
            A value = t >= 0 && t < n ? logarithm - (widen(xs[t]) - highest) : (A)NAN;
            if (SMOOTH)
                value = value * (1 - smoothing) + smoothing * (highest + logarithm - sum / n);
            loss[row] = t == ignored ? 0 : value;
        }
    }
}
