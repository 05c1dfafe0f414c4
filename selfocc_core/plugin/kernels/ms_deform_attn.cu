// MSDeformAttn(value, locations, weights) -> attended: multi-scale deformable attention.
//
//     attended(b, q, m) = sum over levels l and points p of
//                         weights(b, q, m, l, p) * value(b, l, m) at locations(b, q, m, l, p)
//
// One thread adds up CHANNELS_PER_THREAD channels of one head of one query; neighbouring threads
// take the neighbouring channels, then the next head, then the next query.
// Baked in by source.py: BATCH, QUERIES, HEADS, CHANNELS, POINTS, LEVELS, TOKENS, WEIGHTS_HALF,
// THREADS (of a block), BLOCKS (of a multiprocessor), and FOR_EACH_LEVEL(DO), which calls
// DO(index, height, width, first token).

using Weight = Number<WEIGHTS_HALF>::Type;

template <int HEIGHT, int WIDTH>
__device__ __forceinline__ void add_level(
    Sum& sum, const Value* __restrict__ level, const Point* __restrict__ locations,
    const Weight* __restrict__ weights) {
#pragma unroll 2
    for (int p = 0; p < POINTS; ++p) {
        const Point at = locations[p];
        add_sample<HEIGHT, WIDTH>(
            sum, level, at.x * WIDTH - 0.5f, at.y * HEIGHT - 0.5f, weights[p].number());
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) ms_deform_attn(
    const Value* __restrict__ value, const Point* __restrict__ locations,
    const Weight* __restrict__ weights, Value* __restrict__ attended) {
    const long long thread = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    const long long pair = thread / THREADS_PER_HEAD;  // of a query of the batch and a head
    if (pair >= static_cast<long long>(BATCH) * QUERIES * HEADS) return;
    const int channel = static_cast<int>(thread % THREADS_PER_HEAD) * CHANNELS_PER_THREAD;
    const long long item = pair / (static_cast<long long>(QUERIES) * HEADS);
    const int head = static_cast<int>(pair % HEADS);
    const Value* tokens = value + item * TOKENS * TOKEN + head * CHANNELS + channel;
    locations += pair * (LEVELS * POINTS);
    weights += pair * (LEVELS * POINTS);
    Sum sum;
#define ADD_LEVEL(INDEX, HEIGHT, WIDTH, FIRST) \
    add_level<HEIGHT, WIDTH>( \
        sum, tokens + FIRST * TOKEN, locations + INDEX * POINTS, weights + INDEX * POINTS);
    FOR_EACH_LEVEL(ADD_LEVEL)
    sum.write(1.0f, attended + pair * CHANNELS + channel);
}
