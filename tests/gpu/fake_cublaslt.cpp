// libcublasLt for arrays in main memory, as far as minigrad uses it: the same C interface (cublasLt.h
// of CUDA 13.0), and products that are computed from nothing but what the descriptors say. Whatever
// the real library would refuse, or would read wrongly without a word (an attribute of another size,
// a leading dimension below the number of rows, an algorithm chosen for another problem, an address
// less aligned than was promised, a missing workspace), is refused here with a message.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <string>

enum Status { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
static std::string trouble;
static int refused(const char *why) { trouble = why; return INVALID_VALUE; }
#define REQUIRE(holds) if (!(holds)) return refused(#holds)

// ---------------------------------------------------------------- descriptors
struct Description {
    int32_t compute, scale, transa, transb;
    uint32_t epilogue;
    int64_t aux_ld;
    void *bias, *aux;
};
struct Layout { int32_t type; uint64_t rows, columns; int64_t ld; int32_t count; int64_t offset; };
struct Preference { uint64_t workspace; uint32_t aligned[4]; };
struct Algorithm { uint64_t data[8]; };
struct Heuristic { Algorithm algorithm; size_t workspace; int state; float waves; int reserved[4]; };
static_assert(sizeof(Algorithm) == 64 && sizeof(Heuristic) == 96, "");
struct Handle { int created; };
static int handles, heuristics, refuse_epilogue;

static int size_of(int type) { return type == 0 ? 4 : type == 1 ? 8 : 2; }
static bool known(int type) { return type == 0 || type == 1 || type == 2 || type == 14; }

template <typename T> static int put(T *to, const void *from, size_t size) {
    REQUIRE(from && size == sizeof(T));
    memcpy(to, from, size);
    return SUCCESS;
}

extern "C" {
const char *fake_trouble() { return trouble.c_str(); }
int fake_count(int what) { return what ? heuristics : handles; }
void fake_refuse(int epilogue) { refuse_epilogue = epilogue; }
void *fake_copy(void *operation) { return new Description(*(Description *)operation); }

int cublasLtCreate(Handle **handle) { handles++; *handle = new Handle{1}; return SUCCESS; }

int cublasLtMatmulDescCreate(Description **made, int compute, int scale) {
    REQUIRE(compute == 68 || compute == 77 || compute == 70);
    REQUIRE(scale == (compute == 70 ? 1 : 0));
    *made = new Description{compute, scale, 0, 0, 1, 0, nullptr, nullptr};
    return SUCCESS;
}

int cublasLtMatmulDescSetAttribute(Description *d, int attribute, const void *value, size_t size) {
    switch (attribute) {
        case 3: return put(&d->transa, value, size);
        case 4: return put(&d->transb, value, size);
        case 7: return put(&d->epilogue, value, size);
        case 8: return put(&d->bias, value, size);
        case 11: return put(&d->aux, value, size);
        case 12: return put(&d->aux_ld, value, size);
    }
    return refused("an attribute of the operation that this library does not know");
}

int cublasLtMatrixLayoutCreate(Layout **made, int type, uint64_t rows, uint64_t columns, int64_t ld) {
    REQUIRE(known(type) && rows > 0 && columns > 0);
    REQUIRE(ld >= (int64_t)rows);
    *made = new Layout{type, rows, columns, ld, 1, 0};
    return SUCCESS;
}

int cublasLtMatrixLayoutSetAttribute(Layout *x, int attribute, const void *value, size_t size) {
    if (attribute == 5) return put(&x->count, value, size);
    if (attribute == 6) return put(&x->offset, value, size);
    return refused("an attribute of a layout that this library does not know");
}

int cublasLtMatmulPreferenceCreate(Preference **made) {
    *made = new Preference{0, {256, 256, 256, 256}};
    return SUCCESS;
}
int cublasLtMatmulPreferenceDestroy(Preference *p) { delete p; return SUCCESS; }
int cublasLtMatmulPreferenceSetAttribute(Preference *p, int attribute, const void *value, size_t size) {
    if (attribute == 1) return put(&p->workspace, value, size);
    if (attribute >= 5 && attribute <= 8) return put(&p->aligned[attribute - 5], value, size);
    return refused("a preference that this library does not know");
}
}

// ---------------------------------------------------------------- what is asked for
static uint64_t told(const Description *d, const Layout *a, const Layout *b, const Layout *c) {
    uint64_t h = 1469598103934665603ull;
    auto mix = [&](uint64_t v) { h = (h ^ v) * 1099511628211ull; };
    mix(d->compute), mix(d->transa), mix(d->transb), mix(d->epilogue), mix(d->aux_ld);
    for (const Layout *x : {a, b, c}) {
        mix(x->type), mix(x->rows), mix(x->columns), mix(x->ld), mix(x->count), mix(x->offset);
    }
    return h;
}

static int fits(const Description *d, const Layout *a, const Layout *b, const Layout *c, const Layout *o) {
    REQUIRE((d->transa == 0 || d->transa == 1) && (d->transb == 0 || d->transb == 1));
    REQUIRE(a->type == b->type && b->type == o->type && c->type == o->type);
    REQUIRE((a->type == 1) == (d->compute == 70));
    REQUIRE(d->compute != 77 || a->type == 0);
    uint64_t rows = d->transa ? a->columns : a->rows, inner = d->transa ? a->rows : a->columns;
    REQUIRE((d->transb ? b->columns : b->rows) == inner);
    REQUIRE((d->transb ? b->rows : b->columns) == o->columns && rows == o->rows);
    REQUIRE(c->rows == o->rows && c->columns == o->columns && c->ld == o->ld);
    REQUIRE(a->count == o->count && b->count == o->count && c->count == o->count);
    // every element of the result has a place of its own
    REQUIRE(o->count == 1 || o->offset >= (int64_t)o->rows);
    unsigned e = d->epilogue;
    REQUIRE(e == 1 || e == 2 || e == 4 || e == 6 || e == 160 || e == 164 || e == 192 || e == 208 ||
            e == 256 || e == 512);
    if (e & 128) {
        REQUIRE(d->aux && d->aux_ld >= (int64_t)o->rows && d->aux_ld % 8 == 0);
        REQUIRE(o->count == 1);
    }
    if (e & (4 | 16 | 256 | 512)) REQUIRE(d->bias);
    if (e & (256 | 512)) REQUIRE(o->count == 1);
    return SUCCESS;
}

static double tf32(double x) {  // 10 bits of mantissa, the nearest
    float y = (float)x;
    uint32_t b;
    memcpy(&b, &y, 4);
    b = (b + 0x1000u) & ~0x1fffu;
    memcpy(&y, &b, 4);
    return y;
}
static double get(int type, const void *p, int64_t i) {
    if (type == 0) return ((const float *)p)[i];
    if (type == 1) return ((const double *)p)[i];
    uint16_t b = ((const uint16_t *)p)[i];
    if (type == 2) { _Float16 h; memcpy(&h, &b, 2); return (double)h; }
    uint32_t w = (uint32_t)b << 16;
    float y;
    memcpy(&y, &w, 4);
    return y;
}
static void set(int type, void *p, int64_t i, double x) {
    if (type == 0) ((float *)p)[i] = (float)x;
    else if (type == 1) ((double *)p)[i] = x;
    else if (type == 2) { _Float16 h = (_Float16)(float)x; memcpy((uint16_t *)p + i, &h, 2); }
    else {
        float y = (float)x;
        uint32_t b;
        memcpy(&b, &y, 4);
        ((uint16_t *)p)[i] = y != y ? 0x7fc0 : (uint16_t)((b + 0x7fff + ((b >> 16) & 1)) >> 16);
    }
}
static double gelu(double x) { return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }
static double gelu_slope(double x) {
    double t = tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
}

extern "C" {
int cublasLtMatmulAlgoGetHeuristic(Handle *h, Description *d, Layout *a, Layout *b, Layout *c, Layout *o,
                                   Preference *p, int wanted, Heuristic *found, int *count) {
    REQUIRE(h && h->created == 1 && wanted == 1);
    if (int status = fits(d, a, b, c, o)) return status;
    for (uint32_t n : p->aligned) REQUIRE(n >= 1 && n <= 256 && (n & (n - 1)) == 0);
    heuristics++;
    *count = 0;
    if (refuse_epilogue && (int)d->epilogue == refuse_epilogue) return NOT_SUPPORTED;
    memset(found, 0, sizeof *found);
    found->algorithm.data[0] = told(d, a, b, o);
    for (int i = 0; i < 4; i++) found->algorithm.data[1 + i] = p->aligned[i];
    found->algorithm.data[5] = (uint64_t)(uintptr_t)d->bias;
    // small sums are not split: no workspace
    found->workspace = (d->transa ? a->rows : a->columns) > 8 ? 4096 : 0;
    REQUIRE(p->workspace >= found->workspace);
    *count = 1;
    return SUCCESS;
}

int cublasLtMatmul(Handle *h, Description *d, const void *alpha, const void *A, Layout *a, const void *B,
                   Layout *b, const void *beta, const void *C, Layout *c, void *D, Layout *o,
                   const Algorithm *algorithm, void *workspace, size_t size, void *stream) {
    REQUIRE(h && A && B && C == D && alpha && beta);
    if (int status = fits(d, a, b, c, o)) return status;
    REQUIRE(algorithm->data[0] == told(d, a, b, o));
    const void *each[4] = {A, B, C, D};
    for (int i = 0; i < 4; i++) {
        uint64_t least = algorithm->data[1 + i];
        REQUIRE((uintptr_t)each[i] % least == 0);
    }
    if (d->epilogue & (4 | 16 | 256 | 512)) {
        uint64_t promised = algorithm->data[5] & -algorithm->data[5];
        REQUIRE((uintptr_t)d->bias % (promised < 16 ? promised : 16) == 0);
    }
    uint64_t inner = d->transa ? a->rows : a->columns;
    REQUIRE(inner <= 8 || (workspace && size >= 4096));
    if (workspace) memset(workspace, 0xff, 4096);
    auto scalar = [&](const void *p) { return d->scale ? *(const double *)p : (double)*(const float *)p; };
    double al = scalar(alpha), be = scalar(beta);
    bool rounds = d->compute == 77;
    auto at_a = [&](int64_t i, int64_t k) {
        double x = get(a->type, A, d->transa ? k + i * a->ld : i + k * a->ld);
        return rounds ? tf32(x) : x;
    };
    auto at_b = [&](int64_t k, int64_t j) {
        double x = get(b->type, B, d->transb ? j + k * b->ld : k + j * b->ld);
        return rounds ? tf32(x) : x;
    };
    unsigned e = d->epilogue;
    for (int64_t n = 0; n < o->count; n++) {
        for (uint64_t j = 0; j < o->columns; j++)
            for (uint64_t i = 0; i < o->rows; i++) {
                double sum = 0;
                for (uint64_t k = 0; k < inner; k++) sum += at_a(i, k) * at_b(k, j);
                double x = al * sum;
                if (be) x += be * get(o->type, D, i + j * o->ld);
                if (e & 4) x += get(o->type, d->bias, i);
                if (e & 2) x = x > 0 ? x : 0;
                if ((e & 160) == 160) {
                    set(o->type, d->aux, i + j * d->aux_ld, x);
                    x = gelu(x);
                }
                if ((e & 192) == 192) x *= gelu_slope(get(o->type, d->aux, i + j * d->aux_ld));
                set(o->type, D, i + j * o->ld, x);
            }
        A = (const char *)A + a->offset * size_of(a->type);
        B = (const char *)B + b->offset * size_of(b->type);
        if (n + 1 < o->count) D = (char *)D + o->offset * size_of(o->type);
    }
    auto vector = [&](uint64_t length, auto sum) {
        for (uint64_t i = 0; i < length; i++) set(o->type, d->bias, i, sum(i));
    };
    A = each[0], B = each[1];
    if (e & 16) vector(o->rows, [&](uint64_t i) {
        double s = 0;
        for (uint64_t j = 0; j < o->columns; j++) s += get(o->type, D, i + j * o->ld);
        return s;
    });
    if (e == 256) vector(o->rows, [&](uint64_t i) {
        double s = 0;
        for (uint64_t k = 0; k < inner; k++) s += get(a->type, A, d->transa ? k + i * a->ld : i + k * a->ld);
        return s;
    });
    if (e == 512) vector(o->columns, [&](uint64_t j) {
        double s = 0;
        for (uint64_t k = 0; k < inner; k++) s += get(b->type, B, d->transb ? j + k * b->ld : k + j * b->ld);
        return s;
    });
    return SUCCESS;
}
}
