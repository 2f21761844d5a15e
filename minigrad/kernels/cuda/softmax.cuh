// Softmax and its logarithm of rows of n neighbours; GROUP threads share a row. The maximum and the
// sum of exponentials are found in one pass (online: the sum is rescaled when the maximum grows), a
// second pass writes the result.
//
// T stored, A computed; V elements are moved at once; LOGARITHM: log-softmax.
__device__ __forceinline__ void add_exponential(A x, A &top, A &total) {
    if (x > top) {
        total = total * exp_of(top - x) + 1;
        top = x;
    } else {
        // an infinite top has no difference; nan goes into the sum
        total += x == top ? (A)1 : exp_of(x - top);
    }
}

extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Index rows, const int n, const T *__restrict__ x, T *__restrict__ y) {
    __shared__ A scratch[8];
    const int lane = threadIdx.x % GROUP, per_block = blockDim.x / GROUP;
    for (Index row = (Index)blockIdx.x * per_block + threadIdx.x / GROUP; row < rows;
         row += (Index)gridDim.x * per_block) {
        const T *xs = x + row * n;
        A top = -(A)INFINITY, total = 0;
        for (int j = lane * V; j < n; j += GROUP * V) {
            const Pack<T, V> pack = load<V>(xs + j);
#pragma unroll
            for (int k = 0; k < V; k++) add_exponential(widen(pack.at[k]), top, total);
        }
        const A highest = reduce<GROUP, Maximum>(top, scratch);
        total = top == highest ? total : total * exp_of(top - highest);
        total = reduce<GROUP, Add>(total, scratch);
        const A shift = LOGARITHM ? highest + log_of(total) : highest, scale = 1 / total;
        for (int j = lane * V; j < n; j += GROUP * V) {
            const Pack<T, V> pack = load<V>(xs + j);
            Pack<T, V> out;
#pragma unroll
            for (int k = 0; k < V; k++) {
                const A v = widen(pack.at[k]);
                // (v - highest) first: their sum with the logarithm would lose digits
                out.at[k] = narrow<T>(LOGARITHM ? (v - highest) - (shift - highest)
                                                : exp_of(v - highest) * scale);
            }
            store(y + row * n + j, out);
        }
    }
}
