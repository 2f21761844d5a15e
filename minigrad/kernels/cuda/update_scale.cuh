// A gradient scaler's update by one thread: a smaller scale after a step with inf or nan, a larger
// one after `interval` steps without, unless it would be inf. `found` is 0 again for the next step.
extern "C" __global__ void NAME(float *scale, int *tracker, float *found, const double growth,
                                const double backoff, const int interval) {
    if (threadIdx.x || blockIdx.x) return;
    int good = *tracker + 1;
    if (*found != 0) {
        *scale = (float)(*scale * backoff);
        good = 0;
    } else if (good == interval) {
        const float grown = (float)(*scale * growth);
        if (grown - grown == 0) *scale = grown;
        good = 0;
    }
    *tracker = good;
    *found = 0;
}
