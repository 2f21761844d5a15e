// Each number of the result as the sum that it is: for groups of few channels (depthwise), where a tile
// would be empty, and for float64. A thread to each; of WEIGHT a block, on a grid of (numbers, 1).
extern "C" __global__ void __launch_bounds__(256)
NAME(const Shape s, const T *__restrict__ from, const T *__restrict__ weight,
     const T *__restrict__ bias, R *__restrict__ to) {
    __shared__ A scratch[8];
    const int rows = MODE == INPUT ? s.c : s.o, inner = (MODE == INPUT ? s.o : s.c) * s.taps;
    const int places = s.batch * (MODE == INPUT ? volume(s.size) : volume(s.out));
    const int step_from = MODE == INPUT ? s.o * s.y[1] : s.c * s.x[1];
    if (MODE == WEIGHT) {
        const int channel = blockIdx.x / inner, i = blockIdx.x % inner;
        from += channel / rows * step_from;
        const Part q = tap(s, i);
        A sum = 0;
        for (int k = threadIdx.x; k < places; k += blockDim.x) {
            const Part p = place(s, k);
            sum += widen(weight[p.other + channel * s.y[1]]) * gathered(s, from, p, q);
        }
        sum = reduce<256, Add>(sum, scratch);
        if (threadIdx.x == 0) to[blockIdx.x] = narrow<R>(sum);
        return;
    }
    const Index n = (Index)places * s.groups * rows;
    for (Index i = (Index)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (Index)gridDim.x * blockDim.x) {
        const int channel = (int)(i / places), group = channel / rows, row = channel % rows;
        const Part p = place(s, (int)(i % places));
        const T *ws = weight + group * s.o * s.c * s.taps;
        A sum = BIAS ? (A)widen(bias[channel]) : (A)0;
        for (int k = 0; k < inner; k++) {
            const Part q = tap(s, k);
            const A w = widen(ws[MODE == INPUT ? q.other + row * s.taps : row * inner + k]);
            sum += w * gathered(s, from + group * step_from, p, q);
        }
        to[p.other + channel * (MODE == INPUT ? s.x[1] : s.y[1])] = narrow<R>(sum);
    }
}
