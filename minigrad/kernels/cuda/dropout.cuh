// y = x / (1 − p) where a random number is below 1 − p, else 0. No mask is kept: the gradient is the
// same function of ȳ with the same numbers.
//
// Philox 4x32, 10 rounds (Salmon et al. 2011), by the counters of PyTorch's CUDA generator: the key
// is the seed, the counter (offset / 4, thread), and each thread takes four numbers for four
// neighbours, then moves on by the whole grid. In a captured launch seed and offset are read from
// `base`, which is told anew before every replay, and `ahead` is counted from there.
__device__ __forceinline__ void philox(unsigned (&c)[4], unsigned k0, unsigned k1) {
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const unsigned h0 = __umulhi(0xD2511F53u, c[0]), l0 = 0xD2511F53u * c[0];
        const unsigned h1 = __umulhi(0xCD9E8D57u, c[2]), l1 = 0xCD9E8D57u * c[2];
        c[0] = h1 ^ c[1] ^ k0;
        c[1] = l1;
        c[2] = h0 ^ c[3] ^ k1;
        c[3] = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Index n, const float keep, unsigned long long seed, const unsigned long long ahead,
     const unsigned long long *__restrict__ base, const T *__restrict__ x, T *__restrict__ y) {
    const Index thread = (Index)blockIdx.x * blockDim.x + threadIdx.x;
    const Index step = (Index)gridDim.x * blockDim.x;
    unsigned long long counter = ahead / 4;
    if (base) {
        seed = base[0];
        counter = (base[1] + ahead) / 4;
    }
    const A scale = keep > 0 ? 1 / (A)keep : 0;
    for (Index i = thread * 4; i < n; i += step * 4, counter++) {
        unsigned bits[4] = {(unsigned)counter, (unsigned)(counter >> 32), (unsigned)thread,
                            (unsigned)(thread >> 32)};
        philox(bits, (unsigned)seed, (unsigned)(seed >> 32));
        bool chosen[4];
#pragma unroll
        for (int k = 0; k < 4; k++)  // uniform in (0, 1], as cuRAND makes it
            chosen[k] = bits[k] * 2.3283064365386963e-10f + 1.1641532182693481e-10f < keep;
        if (V == 4 && i + 4 <= n) {
            const Pack<T, 4> in = load<4>(x + i);
            Pack<T, 4> out;
#pragma unroll
            for (int k = 0; k < 4; k++)
                out.at[k] = narrow<T>(chosen[k] ? widen(in.at[k]) * scale : (A)0);
            store(y + i, out);
        } else {
#pragma unroll
            for (int k = 0; k < 4; k++)
                if (i + k < n) y[i + k] = narrow<T>(chosen[k] ? widen(x[i + k]) * scale : (A)0);
        }
    }
}
