// One value for each row of n neighbours, which `parts` groups of threads share: group (row, part)
// writes out[row · parts + part]. A second launch with parts = 1 reduces what the first has written.
//
// T stored, A computed, R result; MAP: 0 the element, 1 its square, 2 its magnitude.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const Index rows, const Index n, const int parts, const A scale, const T *__restrict__ x,
     R *__restrict__ out) {
    __shared__ A scratch[8];
    const int lane = threadIdx.x % GROUP, per_block = blockDim.x / GROUP;
    const Index packs = n / V;
    for (Index item = (Index)blockIdx.x * per_block + threadIdx.x / GROUP; item < rows * parts;
         item += (Index)gridDim.x * per_block) {
        const Index row = item / parts, part = item - row * parts;
        const Index first = packs * part / parts, last = packs * (part + 1) / parts;
        const T *xs = x + row * n;
        A total = OP<A>::identity();
        for (Index i = first + lane; i < last; i += GROUP) {
            const Pack<T, V> pack = load<V>(xs + i * V);
#pragma unroll
            for (int k = 0; k < V; k++) {
                const A v = widen(pack.at[k]);
                total = OP<A>::of(total, MAP == 1 ? v * v : MAP == 2 ? abs_of(v) : v);
            }
        }
        total = reduce<GROUP, OP>(total, scratch);
        if (lane == 0) out[item] = narrow<R>(total * scale);
    }
}
