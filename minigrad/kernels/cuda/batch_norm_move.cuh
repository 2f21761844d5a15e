// running ← keep · running + gain · batch.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const int n, const double keep, const double gain, const double *__restrict__ batch,
     T *__restrict__ running) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        running[i] = narrow<T>((A)(keep * (double)widen(running[i]) + gain * batch[i]));
}
