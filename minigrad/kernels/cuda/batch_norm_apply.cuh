// y = (x − mean) · rstd · weight + bias, and stats [3, channels]: mean, variance, rstd.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Shape s, const T *__restrict__ x, const T *__restrict__ weight, const T *__restrict__ bias,
     const double eps, const A *__restrict__ mean_of, const A *__restrict__ spread_of,
     T *__restrict__ y, double *__restrict__ stats) {
    A mean, variance;
    together(s, mean_of, spread_of, gridDim.y, mean, variance);
    const double rstd = 1 / sqrt_of((double)variance + eps);
    if (threadIdx.x == 0 && blockIdx.y == 0) {
        stats[blockIdx.x] = mean;
        stats[s.channels + blockIdx.x] = variance;
        stats[2 * s.channels + blockIdx.x] = rstd;
    }
    const A scale = (A)rstd * (WEIGHT ? widen(weight[blockIdx.x]) : (A)1);
    const A shift = BIAS ? widen(bias[blockIdx.x]) : (A)0;
    walk(s, [&](Index at) {
        const Pack<T, V> pack = load<V>(x + at);
        Pack<T, V> out;
#pragma unroll
        for (int k = 0; k < V; k++) out.at[k] = narrow<T>((widen(pack.at[k]) - mean) * scale + shift);
        store(y + at, out);
    });
}
