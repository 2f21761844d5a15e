// Batch norm of x [rows, channels, run]: block (c, p) has the numbers of channel c in part p of the rows.
// Statistics of parts are put together in order (Chan et al. 1983), in every block that needs them.
struct Shape { int rows, channels, run; };

__device__ __forceinline__ int first_row(const Shape &s, int part, int parts) {
    return (int)((Index)s.rows * part / parts);
}

// f(place) for the first of every V neighbours of this block's numbers
template <typename F> __device__ __forceinline__ void walk(const Shape &s, F f) {
    const int from = first_row(s, blockIdx.y, gridDim.y), to = first_row(s, blockIdx.y + 1, gridDim.y);
    const int packs = s.run / V;
    for (int i = threadIdx.x; i < (to - from) * packs; i += blockDim.x) {
        const Index row = from + i / packs;
        f((row * s.channels + blockIdx.x) * s.run + i % packs * V);
    }
}

// mean and variance of a channel from those of its parts
__device__ __forceinline__ void together(const Shape &s, const A *mean_of, const A *spread_of, int parts,
                                         A &mean, A &variance) {
    A count = 0, spread = 0;
    mean = 0;
    for (int p = 0; p < parts; p++) {
        const A more = (A)(first_row(s, p + 1, parts) - first_row(s, p, parts)) * s.run;
        const A d = mean_of[p * s.channels + blockIdx.x] - mean, all = count + more;
        mean += d * (more / all);
        spread += spread_of[p * s.channels + blockIdx.x] + d * d * (count / all * more);
        count = all;
    }
    variance = spread / count;
}
