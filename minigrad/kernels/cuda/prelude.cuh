// What every kernel may use. No header is included: NVRTC, nvcc and the tests' emulator compile it.
typedef long long Index;
#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fc00000)
#endif

// Shared memory whose size the launch decides.
#ifdef EMULATED
#define SHARED(type, name) type *name = reinterpret_cast<type *>(emulated_shared)
#else
#define SHARED(type, name)                                  \
    extern __shared__ __align__(16) unsigned char shared_bytes[]; \
    type *name = reinterpret_cast<type *>(shared_bytes)
#endif

// Half-precision numbers are stored as their bits and computed in float.
struct f16 { unsigned short bits; };
struct bf16 { unsigned short bits; };

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ bool widen(bool x) { return x; }
__device__ __forceinline__ int widen(int x) { return x; }
__device__ __forceinline__ Index widen(Index x) { return x; }
__device__ __forceinline__ float widen(bf16 x) { return __uint_as_float((unsigned)x.bits << 16); }
__device__ __forceinline__ float widen(f16 x) {
#ifdef EMULATED
    return emulated_half_to_float(x.bits);
#else
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
#endif
}

// Rounded to the nearest, ties to even.
template <typename T> struct Narrow {
    template <typename A> static __device__ __forceinline__ T from(A x) { return (T)x; }
};
template <> struct Narrow<bf16> {
    static __device__ __forceinline__ bf16 from(float x) {
        unsigned b = __float_as_uint(x);
        bf16 y;
        y.bits = x != x ? 0x7fc0 : (unsigned short)((b + 0x7fff + ((b >> 16) & 1)) >> 16);
        return y;
    }
};
template <> struct Narrow<f16> {
    static __device__ __forceinline__ f16 from(float x) {
        f16 y;
#ifdef EMULATED
        y.bits = emulated_float_to_half(x);
#else
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#endif
        return y;
    }
};
template <typename T, typename A> __device__ __forceinline__ T narrow(A x) {
    return Narrow<T>::from(x);
}

// N neighbours, moved by loads and stores of up to 16 bytes.
template <typename T, int N>
struct __align__(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack { T at[N]; };

template <int N, typename T> __device__ __forceinline__ Pack<T, N> load(const T *p) {
    return *reinterpret_cast<const Pack<T, N> *>(p);
}
template <int N, typename T> __device__ __forceinline__ void store(T *p, const Pack<T, N> &x) {
    *reinterpret_cast<Pack<T, N> *>(p) = x;
}

// The functions of formulas, by NumPy's meaning: nan wins in maximum and minimum.
template <typename A> __device__ __forceinline__ A maximum(A x, A y) {
    return x > y || x != x ? x : y;
}
template <typename A> __device__ __forceinline__ A minimum(A x, A y) {
    return x < y || x != x ? x : y;
}
__device__ __forceinline__ float exp_of(float x) { return expf(x); }
__device__ __forceinline__ double exp_of(double x) { return exp(x); }
__device__ __forceinline__ float log_of(float x) { return logf(x); }
__device__ __forceinline__ double log_of(double x) { return log(x); }
__device__ __forceinline__ float expm1_of(float x) { return expm1f(x); }
__device__ __forceinline__ double expm1_of(double x) { return expm1(x); }
__device__ __forceinline__ float log1p_of(float x) { return log1pf(x); }
__device__ __forceinline__ double log1p_of(double x) { return log1p(x); }
__device__ __forceinline__ float tanh_of(float x) { return tanhf(x); }
__device__ __forceinline__ double tanh_of(double x) { return tanh(x); }
__device__ __forceinline__ float erf_of(float x) { return erff(x); }
__device__ __forceinline__ double erf_of(double x) { return erf(x); }
// Φ, the normal distribution function: erfc does not lose the digits of its lower tail.
__device__ __forceinline__ float normal_below_of(float x) {
    return 0.5f * erfcf(x * -0.70710678f);
}
__device__ __forceinline__ double normal_below_of(double x) {
    return 0.5 * erfc(x * -0.70710678118654752);
}
__device__ __forceinline__ float sqrt_of(float x) { return sqrtf(x); }
__device__ __forceinline__ double sqrt_of(double x) { return sqrt(x); }
__device__ __forceinline__ float abs_of(float x) { return fabsf(x); }
__device__ __forceinline__ double abs_of(double x) { return fabs(x); }
template <typename A> __device__ __forceinline__ A sigmoid_of(A x) {
    A e = exp_of(-abs_of(x));  // of a number below 0: nothing overflows
    return x > 0 ? 1 / (1 + e) : e / (1 + e);
}

template <typename A> struct Add {
    static __device__ __forceinline__ A identity() { return 0; }
    static __device__ __forceinline__ A of(A x, A y) { return x + y; }
};
template <typename A> struct Multiply {
    static __device__ __forceinline__ A identity() { return 1; }
    static __device__ __forceinline__ A of(A x, A y) { return x * y; }
};
template <typename A> struct Maximum {
    static __device__ __forceinline__ A identity() { return -(A)INFINITY; }
    static __device__ __forceinline__ A of(A x, A y) { return maximum(x, y); }
};
template <typename A> struct Minimum {
    static __device__ __forceinline__ A identity() { return (A)INFINITY; }
    static __device__ __forceinline__ A of(A x, A y) { return minimum(x, y); }
};

// One value from those of GROUP threads: a warp, or the whole block. Every thread gets the same, by
// the same order of operations in every run. `scratch`: GROUP / 32 values in shared memory.
template <int GROUP, template <typename> class Op, typename A>
__device__ __forceinline__ A reduce(A x, A *scratch) {
#pragma unroll
    for (int d = 16; d; d >>= 1) x = Op<A>::of(x, __shfl_xor_sync(0xffffffffu, x, d));
    if (GROUP > 32) {
        __syncthreads();  // what an earlier call left there has been read
        if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
        __syncthreads();
        x = scratch[0];
        for (int w = 1; w < GROUP / 32; w++) x = Op<A>::of(x, scratch[w]);
    }
    return x;
}
