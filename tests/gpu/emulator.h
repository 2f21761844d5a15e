// CUDA C on the CPU, one thread at a time: enough of the language for the kernels of
// minigrad/kernels/cuda. The threads of a block are fibres, which run from barrier to barrier, in an
// order that the caller chooses: a result that depends on it shows a missing barrier. Shared memory
// is full of nan when a block starts. A barrier that a thread of the warp (shuffles) or of the block
// (__syncthreads) never reaches ends the run with a message.
#pragma once
#define EMULATED 1
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
// in one section of its own, so that it can be filled; only in kernels, which are no templates
#define __shared__ static __attribute__((section("shared_memory"), used))

struct Dim3 { unsigned x, y, z; };
static Dim3 threadIdx, blockIdx, blockDim, gridDim;

static inline float __uint_as_float(unsigned b) { float x; memcpy(&x, &b, 4); return x; }
static inline unsigned __float_as_uint(float x) { unsigned b; memcpy(&b, &x, 4); return b; }
static inline float emulated_half_to_float(unsigned short b) { _Float16 h; memcpy(&h, &b, 2); return (float)h; }
static inline unsigned short emulated_float_to_half(float x) { _Float16 h = (_Float16)x; unsigned short b; memcpy(&b, &h, 2); return b; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
template <typename T> static inline T max(T a, T b) { return a < b ? b : a; }
template <typename T> static inline T min(T a, T b) { return b < a ? b : a; }
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline double rsqrt(double x) { return 1 / sqrt(x); }

// ---------------------------------------------------------------- fibres
// A fibre is made by makecontext, and left and entered by _longjmp, which asks nothing of the system.
struct Fibre {
    ucontext_t start;
    jmp_buf place;
    bool started;
    std::vector<char> stack;
    bool done;
    int waiting;  // for: 0 nothing, 1 the block, 2 the warp
};
static std::vector<Fibre> fibres;
static jmp_buf scheduler;
static int current;
static char exchanged[1024 / 32][32][8];  // what each lane of each warp gives to a shuffle
static const char *trouble;

static __attribute__((noinline)) void wait_for(int what) {
    Fibre &me = fibres[current];
    me.waiting = what;
    if (!_setjmp(me.place)) _longjmp(scheduler, 1);
}
static inline void __syncthreads() { wait_for(1); }
static inline void __syncwarp(unsigned mask = 0xffffffffu) { wait_for(2); }

template <typename T> static T shuffled(T x, int source) {
    int warp = current / 32, lane = current % 32;
    memcpy(exchanged[warp][lane], &x, sizeof x);
    wait_for(2);
    T y;
    memcpy(&y, exchanged[warp][source], sizeof y);
    wait_for(2);
    return y;
}
template <typename T> static T __shfl_xor_sync(unsigned mask, T x, int d) { return shuffled(x, current % 32 ^ d); }
template <typename T> static T __shfl_sync(unsigned mask, T x, int lane) { return shuffled(x, lane); }

// TensorFloat-32: the nearest number with 10 bits of mantissa; a half goes away from 0.
static inline unsigned emulated_tf32(float x) {
    unsigned b = __float_as_uint(x);
    return (b & 0x7f800000u) == 0x7f800000u ? b : (b + 0x1000u) & ~0x1fffu;
}
// mma.sync m16n8k8 of TF32, D = A B + D, by the tables of the PTX ISA: what each lane gives, and gets.
// Bits that are no part of a TF32 number are not read.
static unsigned given_to_mma[1024 / 32][32][6];
static void emulated_mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    auto &warp = given_to_mma[current / 32];
    int lane = current % 32, group = lane >> 2, in_group = lane % 4;
    for (int i = 0; i < 6; i++) warp[lane][i] = i < 4 ? a[i] : b[i - 4];
    wait_for(2);
    for (int i = 0; i < 4; i++) {
        int row = i < 2 ? group : group + 8, column = in_group * 2 + (i & 1);
        double sum = d[i];
        for (int k = 0; k < 8; k++) {
            // A: a0 and a1 are rows group and group + 8 of column in_group, a2 and a3 of column + 4
            unsigned x = warp[(row % 8) * 4 + k % 4][(row >= 8) + 2 * (k >= 4)];
            // B: b0 and b1 are rows in_group and in_group + 4 of column group
            unsigned y = warp[column * 4 + k % 4][4 + (k >= 4)];
            sum += (double)__uint_as_float(x & ~0x1fffu) * __uint_as_float(y & ~0x1fffu);
        }
        d[i] = (float)sum;
    }
    wait_for(2);
}

static void (*entry)(void **);
static void **entry_arguments;
static void run_fibre() {
    entry(entry_arguments);
    fibres[current].done = true;
    _longjmp(scheduler, 1);
}

static __attribute__((noinline)) void enter(int t) {
    current = t;
    threadIdx.x = t;
    Fibre &f = fibres[t];
    f.waiting = 0;
    if (_setjmp(scheduler)) return;
    if (f.started) _longjmp(f.place, 1);
    f.started = true;
    setcontext(&f.start);
}

// Whether all of the threads [from, to) wait for `what`; trouble if some never will.
static bool released(int from, int to, int what) {
    int waiting = 0, done = 0;
    for (int t = from; t < to; t++) {
        waiting += fibres[t].waiting == what && !fibres[t].done;
        done += fibres[t].done;
    }
    if (waiting && done && what == 2) trouble = "a shuffle that not all threads of the warp reach";
    return waiting && waiting + done == to - from;
}

// what a launch asks for beside that; as large as an H100's can be
alignas(16) static unsigned char emulated_shared[227 << 10];
extern "C" char __start_shared_memory[] __attribute__((weak)), __stop_shared_memory[] __attribute__((weak));

static void run_block(int threads, int order) {
    if (__start_shared_memory)
        memset(__start_shared_memory, 0xff, __stop_shared_memory - __start_shared_memory);
    memset(emulated_shared, 0xff, sizeof emulated_shared);
    std::vector<int> turn(threads);
    for (int t = 0; t < threads; t++) {
        turn[t] = order == 1 ? threads - 1 - t : t;
        Fibre &f = fibres[t];
        f.done = false;
        f.waiting = 0;
        f.started = false;
        getcontext(&f.start);
        f.stack.resize(1 << 16);
        f.start.uc_stack.ss_sp = f.stack.data();
        f.start.uc_stack.ss_size = f.stack.size();
        f.start.uc_link = nullptr;
        makecontext(&f.start, run_fibre, 0);
    }
    unsigned random = order;
    while (!trouble) {
        for (int t = threads; order > 1 && t > 1; t--) {
            random = random * 1664525u + 1013904223u;
            std::swap(turn[t - 1], turn[(random >> 8) % t]);
        }
        int ran = 0, done = 0;
        for (int t : turn)
            if (!fibres[t].done && !fibres[t].waiting) { enter(t); ran++; }
        for (int t = 0; t < threads; t++) done += fibres[t].done;
        if (done == threads) return;
        for (int w = 0; w < threads; w += 32)
            if (released(w, min(w + 32, threads), 2))
                for (int t = w; t < min(w + 32, threads); t++)
                    if (fibres[t].waiting == 2) { fibres[t].waiting = 0; ran++; }
        if (released(0, threads, 1))
            for (int t = 0; t < threads; t++)
                if (fibres[t].waiting == 1) { fibres[t].waiting = 0; ran++; }
        if (!ran) trouble = "threads wait at different barriers";
    }
}

// Runs `kernel` on a grid; the message of what went wrong, or null.
static const char *run_grid(void (*kernel)(void **), void **arguments, int x, int y, int threads, int order) {
    entry = kernel;
    entry_arguments = arguments;
    trouble = nullptr;
    fibres.resize(max((size_t)threads, fibres.size()));
    blockDim = {(unsigned)threads, 1, 1};
    gridDim = {(unsigned)x, (unsigned)y, 1};
    for (int b = 0; b < x * y && !trouble; b++) {
        int at = order == 1 ? x * y - 1 - b : b;
        blockIdx = {(unsigned)(at % x), (unsigned)(at / x), 0};
        run_block(threads, order);
    }
    return trouble;
}
