// What CUDA gives the kernels, for a processor: one thread after the other. Goes before them.
#include <cmath>
#include <cstdint>
#include <cstring>

#define SELFOCC_HOST
#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)

static struct { unsigned x; } blockIdx, threadIdx;

#define __expf(x) std::exp(x)
#define __fdividef(x, y) ((x) / (y))

static inline float float_from_half(unsigned short half) {
    const uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, rest = half & 1023;
    if (exponent == 0) return (sign ? -1.0f : 1.0f) * std::ldexp(float(rest), -24);
    const uint32_t bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | rest << 13;
    float number;
    std::memcpy(&number, &bits, 4);
    return number;
}

// Rounds to the nearest, ties to even, as the GPU does.
static inline unsigned short half_from_float(float number) {
    uint32_t bits;
    std::memcpy(&bits, &number, 4);
    const unsigned short sign = bits >> 16 & 0x8000u;
    const float size = std::fabs(number);
    if (size != size) return sign | 0x7e00u;
    if (size >= 65520.0f) return sign | 0x7c00u;
    if (size < std::ldexp(1.0f, -14)) return sign | (unsigned short)std::nearbyint(std::ldexp(size, 24));
    bits &= 0x7fffffffu;
    bits += 0xfffu + (bits >> 13 & 1);
    return sign | (unsigned short)((bits - (112u << 23)) >> 13);
}

static inline void in_every_thread(unsigned blocks, unsigned threads, void (*work)(void**), void** pointers) {
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) work(pointers);
}
