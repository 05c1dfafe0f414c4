// How values are stored (float16 or float32), read several channels at once, and added in float32.
// Baked in by source.py: SELFOCC_HALF, CHANNELS, CHANNELS_PER_THREAD. SELFOCC_HOST is set where
// the same source is compiled for the processor, whose file then says what CUDA would.

#ifndef SELFOCC_HOST
__device__ __forceinline__ float float_from_half(unsigned short bits) {
    float number;
    asm("cvt.f32.f16 %0, %1;" : "=f"(number) : "h"(bits));
    return number;
}

__device__ __forceinline__ unsigned short half_from_float(float number) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(number));
    return bits;
}
#endif

struct Float16 {
    unsigned short bits;
    static __device__ __forceinline__ Float16 of(float x) { return {half_from_float(x)}; }
    __device__ __forceinline__ float number() const { return float_from_half(bits); }
};

struct Float32 {
    float bits;
    static __device__ __forceinline__ Float32 of(float x) { return {x}; }
    __device__ __forceinline__ float number() const { return bits; }
};

template <bool HALF> struct Number { using Type = Float32; };
template <> struct Number<true> { using Type = Float16; };

using Value = Number<SELFOCC_HALF>::Type;

// Neighbouring channels of one thread, read and written as 32-bit words in one transaction.
enum : int {
    CHUNK_BYTES = CHANNELS_PER_THREAD * sizeof(Value),
    THREADS_PER_HEAD = CHANNELS / CHANNELS_PER_THREAD,
};
static_assert(CHANNELS % CHANNELS_PER_THREAD == 0, "a thread's channels must divide a head's");

template <int BYTES> struct Words {
    struct alignas(BYTES) Type { unsigned int words[BYTES / 4]; };
};
template <> struct Words<2> {
    struct Type { unsigned short words[1]; };
};

union Chunk {
    Words<CHUNK_BYTES>::Type stored;
    Value channels[CHANNELS_PER_THREAD];
};

struct Sum {
    float channels[CHANNELS_PER_THREAD] = {};

    __device__ __forceinline__ void add(float share, const Value* __restrict__ place) {
        Chunk chunk;
        chunk.stored = *reinterpret_cast<const Words<CHUNK_BYTES>::Type*>(place);
#pragma unroll
        for (int c = 0; c < CHANNELS_PER_THREAD; ++c) {
            channels[c] += share * chunk.channels[c].number();
        }
    }

    __device__ __forceinline__ void write(float scale, Value* place) const {
        Chunk chunk;
#pragma unroll
        for (int c = 0; c < CHANNELS_PER_THREAD; ++c) {
            chunk.channels[c] = Value::of(scale * channels[c]);
        }
        *reinterpret_cast<Words<CHUNK_BYTES>::Type*>(place) = chunk.stored;
    }
};

struct alignas(8) Point {
    float x, y;
};
