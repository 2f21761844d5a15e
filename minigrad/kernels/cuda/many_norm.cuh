// The 2-norm of all elements, or the largest magnitude. Every block adds up its chunks; the last one
// to arrive adds up what the blocks have found, in the order of their numbers: the same in every run.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const int count, const int chunks, const double *before, double *parts, unsigned *ticket,
     double *total, R *out, const Table at) {
    __shared__ double scratch[8];
    __shared__ unsigned last;
    double mine = 0;
    for (int c = blockIdx.x; c < chunks; c += gridDim.x) {
        const int k = tensor_of(at, count, c);
        const Index start = (Index)(c - at.first[k]) * CHUNK;
        const int n = length(at, k, start);
        const T *x = at.at[0][k] + start;
        const int whole = ((unsigned long long)x & 15) == 0 ? n / V * V : 0;
        A sum = 0;
        for (int i = threadIdx.x * V; i < whole; i += blockDim.x * V) {
            const Pack<T, V> pack = load<V>(x + i);
#pragma unroll
            for (int j = 0; j < V; j++) {
                const A v = widen(pack.at[j]);
                sum = LARGEST ? maximum(sum, abs_of(v)) : sum + v * v;
            }
        }
        for (int i = whole + threadIdx.x; i < n; i += blockDim.x) {
            const A v = widen(x[i]);
            sum = LARGEST ? maximum(sum, abs_of(v)) : sum + v * v;
        }
        mine = LARGEST ? maximum(mine, (double)sum) : mine + sum;
    }
    mine = LARGEST ? reduce<256, Maximum>(mine, scratch) : reduce<256, Add>(mine, scratch);
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = mine;
        __threadfence();
        last = atomicAdd(ticket, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (!last) return;
    __threadfence();  // what the other blocks wrote is there
    double all = 0;
    for (int b = threadIdx.x; b < gridDim.x; b += blockDim.x)
        all = LARGEST ? maximum(all, ((volatile double *)parts)[b]) : all + ((volatile double *)parts)[b];
    all = LARGEST ? reduce<256, Maximum>(all, scratch) : reduce<256, Add>(all, scratch);
    if (threadIdx.x == 0) {
        if (before) all = LARGEST ? maximum(all, *before) : all + *before;
        *total = all;
        *out = narrow<R>(LARGEST ? all : sqrt(all));
        *ticket = 0;
    }
}
