// Bilinear reading of one level; zeros outside, pixel centres at integers.
// Baked in by source.py: HEADS, CHANNELS.

enum : int { TOKEN = HEADS * CHANNELS };  // numbers of a token

// `level` points at this thread's channels in the first token of a level of this size.
template <int HEIGHT, int WIDTH>
__device__ __forceinline__ void add_sample(
    Sum& sum, const Value* __restrict__ level, float x, float y, float weight) {
    // Also false for what is not a number, and it keeps the conversion to int in range.
    if (!(x > -1.0f && y > -1.0f && x < WIDTH && y < HEIGHT)) return;
    const float column = floorf(x), row = floorf(y);
    const int left = static_cast<int>(column), top = static_cast<int>(row);
    // Outside neighbours are read at the edge with share 0: four loads in flight, no branch.
    const float share_right = left + 1 < WIDTH ? x - column : 0.0f;
    const float share_left = left >= 0 ? 1.0f - (x - column) : 0.0f;
    const float share_below = weight * (top + 1 < HEIGHT ? y - row : 0.0f);
    const float share_above = weight * (top >= 0 ? 1.0f - (y - row) : 0.0f);
    const int left_inside = left < 0 ? 0 : left;
    const int right_inside = left + 1 < WIDTH ? left + 1 : left;
    const int above = (top < 0 ? 0 : top) * WIDTH;
    const int below = (top + 1 < HEIGHT ? top + 1 : top) * WIDTH;
    sum.add(share_above * share_left, level + (above + left_inside) * TOKEN);
    sum.add(share_above * share_right, level + (above + right_inside) * TOKEN);
    sum.add(share_below * share_left, level + (below + left_inside) * TOKEN);
    sum.add(share_below * share_right, level + (below + right_inside) * TOKEN);
}
