// δ = Σ ō·o of every query: what all of its scores' gradients have taken off. A warp to each.
extern "C" __global__ void __launch_bounds__(128)
NAME(const Shape s, const Index rows, const T *__restrict__ g, const T *__restrict__ o,
     float *__restrict__ delta) {
    const int lane = threadIdx.x % 32;
    for (Index row = (Index)blockIdx.x * (THREADS / 32) + warp(); row < rows;
         row += (Index)gridDim.x * (THREADS / 32)) {
        const Index head = row / s.length, i = row % s.length;
        const Index batch = head / s.heads, h = head % s.heads;
        const T *gs = g + batch * s.g[0] + h * s.g[1] + i * s.g[2];
        const T *os = o + batch * s.o[0] + h * s.o[1] + i * s.o[2];
        float sum = 0;
        for (int c = lane; c < s.f; c += 32) sum += widen(gs[c]) * widen(os[c]);
        sum = reduce<32, Add>(sum, (float *)nullptr);
        if (lane == 0) delta[row] = sum;
    }
}
