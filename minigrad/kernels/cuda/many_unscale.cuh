// All elements times 1 / scale; found becomes 1 if one of them is inf or nan (all threads that find
// one write the same).
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const int count, const int chunks, const float *scale, float *found, const Table at) {
    const float inverse = 1 / *scale;
    bool bad = false;
    replace(at, count, chunks, [&](T x) {
        const A v = widen(x);
        bad |= !(v - v == 0);
        return narrow<T>(v * inverse);
    });
    if (bad) *found = 1;
}
