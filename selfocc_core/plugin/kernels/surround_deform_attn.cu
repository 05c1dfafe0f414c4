// SurroundDeformAttn(value, references, visible, offsets, logits) -> attended: the queries look
// into those cameras that see them; neither places nor weights ever reach the memory.
//
//     attended(q, m) = 1/|V(q)| * sum over cameras n in V(q), levels l and points p of
//                      softmax(logits(q, m))(l, p) * value(n, l, m) at
//                      references(n, q, l, p) + offsets(q, m, l, p) / (width_l, height_l)
//
// Threads as in ms_deform_attn.cu. Both divisions are one: the exponentials, added up over all
// that is read, are |V| times the softmax's denominator.
// Baked in by source.py: as there, with CAMERAS and REFERENCES (1 for all levels, or LEVELS).

enum : int { SAMPLES = LEVELS * POINTS };

__device__ __forceinline__ float largest(const float* __restrict__ logits) {
    float most = logits[0];
#pragma unroll 4
    for (int i = 1; i < SAMPLES; ++i) most = fmaxf(most, logits[i]);
    return most;
}

struct Attention {
    const Point* __restrict__ offsets;
    const float* __restrict__ logits;
    float largest_logit;
    float exponentials;
    Sum sum;

    template <int INDEX, int HEIGHT, int WIDTH>
    __device__ __forceinline__ void add_level(
        const Value* __restrict__ level, const Point* __restrict__ references) {
        references += REFERENCES == 1 ? 0 : INDEX * POINTS;
#pragma unroll 2
        for (int p = 0; p < POINTS; ++p) {
            const float weight = __expf(logits[INDEX * POINTS + p] - largest_logit);
            const Point reference = references[p], offset = offsets[INDEX * POINTS + p];
            exponentials += weight;
            add_sample<HEIGHT, WIDTH>(
                sum, level, reference.x * WIDTH + offset.x - 0.5f,
                reference.y * HEIGHT + offset.y - 0.5f, weight);
        }
    }

    __device__ __forceinline__ void add_camera(
        const Value* __restrict__ tokens, const Point* __restrict__ references) {
#define ADD_LEVEL(INDEX, HEIGHT, WIDTH, FIRST) \
    add_level<INDEX, HEIGHT, WIDTH>(tokens + FIRST * TOKEN, references);
        FOR_EACH_LEVEL(ADD_LEVEL)
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) surround_deform_attn(
    const Value* __restrict__ value, const Point* __restrict__ references,
    const int* __restrict__ visible, const Point* __restrict__ offsets,
    const float* __restrict__ logits, Value* __restrict__ attended) {
    const long long thread = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    const long long pair = thread / THREADS_PER_HEAD;  // of a query and a head
    if (pair >= static_cast<long long>(QUERIES) * HEADS) return;
    const int channel = static_cast<int>(thread % THREADS_PER_HEAD) * CHANNELS_PER_THREAD;
    const int query = static_cast<int>(pair / HEADS), head = static_cast<int>(pair % HEADS);
    value += head * CHANNELS + channel;
    logits += pair * SAMPLES;
    Attention attention{offsets + pair * SAMPLES, logits, largest(logits), 0.0f, {}};
    for (int camera = 0; camera < CAMERAS; ++camera) {
        const long long seen = static_cast<long long>(camera) * QUERIES + query;
        if (!visible[seen]) continue;
        attention.add_camera(
            value + static_cast<long long>(camera) * TOKENS * TOKEN,
            references + seen * (REFERENCES * POINTS));
    }
    // Where no camera sees the query, the sum is zero and so must be the result.
    const float total = attention.exponentials;
    const float scale = total > 0.0f ? __fdividef(1.0f, total) : 0.0f;
    attention.sum.write(scale, attended + pair * CHANNELS + channel);
}
