// Convolutions of up to three dimensions as products of matrices that are never stored:
//
//   FORWARD  y[o, p] = Σ_q w[o, q] x(p, q)   p: an image and a place of the result, q: a channel and tap
//   INPUT    x̄[c, p] = Σ_q w[q, c] ȳ(p, q)   p: an image and a place of x, q: a channel of ȳ and a tap
//   WEIGHT   w̄[o, q] = Σ_p ȳ[p, o] x(p, q)   in parts of the sum over p, which a second kernel adds
//
// x(p, q) lies stride·place + dilation·tap − padding from the corner of image and channel, and is 0
// outside. Arrays are given by strides, channels first or last.
struct Shape {
    int batch, groups, c, o;  // channels of one group
    int size[3], out[3], kernel[3], stride[3], padding[3], dilation[3];
    int taps, steps;          // product of kernel; of the sum, what one block of WEIGHT adds up
    int x[5], y[5];           // elements to the next image, channel, and along the three dimensions
};

// An image and a place, or a channel and a tap: how far it is, and where it is, of three dimensions.
struct Part { int offset, other, at[3]; };

__device__ __forceinline__ void split(int i, const int (&sizes)[3], int (&at)[3]) {
    at[2] = i % sizes[2];
    i /= sizes[2];
    at[1] = i % sizes[1];
    at[0] = i / sizes[1];
}
__device__ __forceinline__ int volume(const int (&sizes)[3]) { return sizes[0] * sizes[1] * sizes[2]; }

enum { FORWARD, INPUT, WEIGHT };

// place i: of the result (FORWARD, WEIGHT; `other`: where it is in y), or of x (INPUT; there in x)
__device__ __forceinline__ Part place(const Shape &s, int i) {
    Part p;
    const int many = MODE == INPUT ? volume(s.size) : volume(s.out);
    const int image = i / many;
    if (MODE == INPUT) {
        split(i % many, s.size, p.at);
        p.offset = image * s.y[0];
        p.other = image * s.x[0];
        for (int d = 0; d < 3; d++) p.other += p.at[d] * s.x[2 + d], p.at[d] += s.padding[d];
    } else {
        split(i % many, s.out, p.at);
        p.offset = image * s.x[0];
        p.other = image * s.y[0];
        for (int d = 0; d < 3; d++) {
            p.other += p.at[d] * s.y[2 + d];
            p.at[d] = p.at[d] * s.stride[d] - s.padding[d];
            p.offset += p.at[d] * s.x[2 + d];
        }
    }
    return p;
}

// number i of channels and taps; `other`: where it is in a row of w (FORWARD), or between rows (INPUT)
__device__ __forceinline__ Part tap(const Shape &s, int i) {
    Part q;
    const int channel = i / s.taps;
    split(i % s.taps, s.kernel, q.at);
    q.other = MODE == INPUT ? channel * s.c * s.taps + i % s.taps : i;
    q.offset = channel * (MODE == INPUT ? s.y[1] : s.x[1]);
    for (int d = 0; d < 3; d++) {
        q.at[d] *= s.dilation[d];
        if (MODE != INPUT) q.offset += q.at[d] * s.x[2 + d];
    }
    return q;
}

// x(p, q), or ȳ(p, q)
__device__ __forceinline__ A gathered(const Shape &s, const T *from, const Part &p, const Part &q) {
    int offset = p.offset + q.offset;
#pragma unroll
    for (int d = 0; d < 3; d++) {
        if (MODE == INPUT) {
            int at = p.at[d] - q.at[d];
            if (at < 0) return 0;
            if (s.stride[d] > 1) {
                if (at % s.stride[d]) return 0;
                at /= s.stride[d];
            }
            if (at >= s.out[d]) return 0;
            offset += at * s.y[2 + d];
        } else {
            const int at = p.at[d] + q.at[d];
            if (at < 0 || at >= s.size[d]) return 0;
        }
    }
    return widen(from[offset]);
}
