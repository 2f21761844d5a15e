// All elements times bound / (norm + 1e-6) if that is below 1, or no number: nan must show.
extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const int count, const int chunks, const double bound, const R *norm, const Table at) {
    const double ratio = bound / ((double)widen(*norm) + 1e-6);
    if (ratio >= 1) return;
    const A factor = (A)ratio;
    replace(at, count, chunks, [=](T x) { return narrow<T>(widen(x) * factor); });
}
