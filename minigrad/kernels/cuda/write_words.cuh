// Up to MOST words of 8 bytes, which came with the launch: a copy to the device that needs no memory
// to copy from, and so nothing that has to stay as it is until the copy has been made.
struct Words { unsigned long long at[MOST]; };

extern "C" __global__ void NAME(const int n, unsigned long long *to, const Words from) {
    if (threadIdx.x < n) to[threadIdx.x] = from.at[threadIdx.x];
}
