/* How often what took how long: 32 buckets for each power of two, so 3 % wide at most. */
#include "load.h"

void histogram_add(struct histogram *h, uint64_t ns) {
    size_t index = ns;
    if (ns >= SUB_BUCKETS) {
        unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - SUB_BITS;
        index = (size_t)(shift + 1) * SUB_BUCKETS + (ns >> shift) - SUB_BUCKETS;
    }
    h->counts[index]++;
    h->total++;
    if (ns > h->most_ns) h->most_ns = ns;
}

static double middle_of(size_t index) {
    if (index < SUB_BUCKETS) return (double)index;
    size_t shift = index / SUB_BUCKETS - 1;
    return ((double)(index % SUB_BUCKETS + SUB_BUCKETS) + 0.5) * (double)(1ull << shift);
}

double histogram_us(const struct histogram *h, double percent) {
    uint64_t rank = (uint64_t)((double)h->total * percent / 100.0), seen = 0;
    for (size_t index = 0; index < 64 * SUB_BUCKETS; index++) {
        seen += h->counts[index];
        if (seen <= rank) continue;
        double ns = middle_of(index); /* which may lie above all that is in the last bucket */
        return (ns < (double)h->most_ns ? ns : (double)h->most_ns) / 1e3;
    }
    return (double)h->most_ns / 1e3;
}
