// A tile of 64 rows (channels of the result) and 64 columns by four warps, 16 terms of the sum at a
// time. On a grid of (tiles of rows · tiles of columns · groups, parts of the sum).
extern "C" __global__ void __launch_bounds__(128)
NAME(const Shape s, const T *__restrict__ from, const T *__restrict__ weight,
     const T *__restrict__ bias, R *__restrict__ to) {
    constexpr int S = 20, DEEP = 16;
    __shared__ float left[64 * S], right[64 * S];
    __shared__ Part terms[DEEP];
    const int rows = MODE == INPUT ? s.c : s.o;
    const int places = s.batch * (MODE == INPUT ? volume(s.size) : volume(s.out));
    const int inner = (MODE == INPUT ? s.o : s.c) * s.taps;
    const int columns = MODE == WEIGHT ? inner : places, depth = MODE == WEIGHT ? places : inner;
    const int down = (rows + 63) / 64, across = (columns + 63) / 64;
    const int i0 = blockIdx.x % down * 64, j0 = blockIdx.x / down % across * 64;
    const int group = blockIdx.x / down / across;
    const int first = MODE == WEIGHT ? blockIdx.y * s.steps : 0;
    const int last = MODE == WEIGHT ? min(depth, first + s.steps) : depth;
    from += group * (MODE == INPUT ? s.o * s.y[1] : s.c * s.x[1]);
    if (MODE == WEIGHT) weight += group * s.o * s.y[1];  // it is ȳ that is multiplied with
    else weight += group * s.o * s.c * s.taps;

    // a thread gathers one column, every second term
    const int column = threadIdx.x / 2, j = j0 + column;
    Part mine = {};
    if (j < columns) mine = MODE == WEIGHT ? tap(s, j) : place(s, j);
    const int g = lane_g(), t = lane_t(), row0 = warp() / 2 * 32, column0 = warp() % 2 * 32;
    float y[2][4][4] = {};
    for (int k0 = first; k0 < last; k0 += DEEP) {
        __syncthreads();
        if (threadIdx.x < DEEP && k0 + threadIdx.x < last)
            terms[threadIdx.x] = MODE == WEIGHT ? place(s, k0 + threadIdx.x) : tap(s, k0 + threadIdx.x);
        __syncthreads();
#pragma unroll
        for (int k = threadIdx.x % 2; k < DEEP; k += 2) {
            const int i = i0 + column;
            const bool there = k0 + k < last;
            right[column * S + k] = 0;
            if (there && j < columns)
                right[column * S + k] = MODE == WEIGHT ? gathered(s, from, terms[k], mine)
                                                       : gathered(s, from, mine, terms[k]);
            left[column * S + k] = 0;
            if (there && i < rows) {
                const int at = MODE == WEIGHT ? terms[k].other + i * s.y[1]
                               : MODE == INPUT ? terms[k].other + i * s.taps : i * inner + k0 + k;
                left[column * S + k] = widen(weight[at]);
            }
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < DEEP; k += 8) {
            Fragment<4> a[2];
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    a[m].set(e, left[(row0 + m * 16 + g + e % 2 * 8) * S + k + t + e / 2 * 4]);
#pragma unroll
            for (int n = 0; n < 4; n++) {
                Fragment<2> b;
#pragma unroll
                for (int e = 0; e < 2; e++) b.set(e, right[(column0 + n * 8 + g) * S + k + t + e * 4]);
#pragma unroll
                for (int m = 0; m < 2; m++) add_product(y[m][n], a[m], b);
            }
        }
    }
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
        for (int c = 0; c < 2; c++) {
            const int at = j0 + column0 + n * 8 + 2 * t + c;
            if (at >= columns) continue;
            const int offset = MODE == WEIGHT ? at : place(s, at).other;
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int r = 0; r < 2; r++) {
                    const int i = i0 + row0 + m * 16 + g + r * 8, channel = group * rows + i;
                    if (i >= rows) continue;
                    const float v = y[m][n][2 * r + c] + (BIAS ? (float)widen(bias[channel]) : 0.0f);
                    if (MODE == WEIGHT)
                        to[((Index)blockIdx.y * s.groups * rows + channel) * columns + offset] = narrow<R>(v);
                    else
                        to[offset + channel * (MODE == INPUT ? s.x[1] : s.y[1])] = narrow<R>(v);
                }
        }
}
