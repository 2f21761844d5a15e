// The mean of losses over the targets that are not ignored, by one block: Σ loss / count, and the
// count. All ignored: 0 / 0. `total` may be null: then the sum.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Index rows, const A *__restrict__ loss, const I *__restrict__ target,
     const Index ignored, T *out, A *total) {
    __shared__ double scratch[8];
    double sum = 0, count = 0;
    for (Index i = threadIdx.x; i < rows; i += blockDim.x) {
        sum += loss[i];
        count += target[i] != ignored;
    }
    sum = reduce<256, Add>(sum, scratch);
    count = reduce<256, Add>(count, scratch);
    if (threadIdx.x == 0) {
        if (total) *total = (A)count;
        *out = narrow<T>((A)(total ? sum / count : sum));
    }
}
