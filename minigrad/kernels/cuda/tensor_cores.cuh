// Products of 16 rows and 8 columns on tensor cores, by a warp: m16n8k8 of TF32, sums in float32.
//
// EXACT: every operand is the sum of two TF32 numbers, x = high + low, and a product is high·high +
// high·low + low·high, which is float32's but for the last bit or two. Halves are TF32 numbers.
//
// Of lane 4g + t (PTX ISA, "Matrix fragments for mma.m16n8k8"): A holds rows g and g + 8 at columns t
// and t + 4, B holds column g at rows t and t + 4, C and D hold rows g and g + 8 at columns 2t and
// 2t + 1.
__device__ __forceinline__ unsigned tf32(float x) {
#ifdef EMULATED
    return emulated_tf32(x);
#else
    unsigned y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
    return y;
#endif
}

__device__ __forceinline__ void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef EMULATED
    emulated_mma(d, a, b);
#else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

template <int N> struct Fragment {
    unsigned high[N], low[N];
    __device__ __forceinline__ void set(int i, float x) {
        high[i] = tf32(x);
        if (EXACT) {
            const float rest = x - __uint_as_float(high[i]);
            low[i] = tf32(rest == rest ? rest : 0.0f);  // infinity has none
        }
    }
};

__device__ __forceinline__ void add_product(float (&d)[4], const Fragment<4> &a, const Fragment<2> &b) {
    if (EXACT) {
        mma(d, a.low, b.high);
        mma(d, a.high, b.low);
    }
    mma(d, a.high, b.high);
}

__device__ __forceinline__ int warp() { return threadIdx.x / 32; }
__device__ __forceinline__ int lane_g() { return threadIdx.x % 32 / 4; }
__device__ __forceinline__ int lane_t() { return threadIdx.x % 4; }
