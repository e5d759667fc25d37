// The masks of all dropouts of a step, a bit for each value: the words of Philox4x64-10.
#pragma once

#include "common.cuh"

struct Dropped {
    unsigned short *mask;
    Count layer, values, threshold;  // what an image has of them, and the words of 16 bits that keep a value
};

// Draw the masks of the dropout blockIdx.y. A thread draws a block of four words, which is sixteen bits of the mask.
extern "C" __global__ void masks(const Dropped *dropouts, const Count *seeds, const Clock *clock, Count images)
{
    const Dropped one = dropouts[blockIdx.y];
    const Count words = (images * one.values + 15) / 16;
    if (thread() >= words) return;
    typedef unsigned long long Word;
    Word a = thread() + 1, b = clock->step, c = one.layer, d = 0, key = seeds[run()], purpose = 3;
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const Word high = __umul64hi(0xD2E7470EE14C6C93ull, a), low = 0xD2E7470EE14C6C93ull * a;
        const Word other_high = __umul64hi(0xCA5A826395121157ull, c), other_low = 0xCA5A826395121157ull * c;
        a = other_high ^ b ^ key, b = other_low, c = high ^ d ^ purpose, d = low;
        key += 0x9E3779B97F4A7C15ull, purpose += 0xBB67AE8584CAA73Bull;
    }
    const Word drawn[4] = {a, b, c, d};
    unsigned bits = 0;
#pragma unroll
    for (int i = 0; i < 16; i++) bits |= (unsigned)((Count)(drawn[i / 4] >> i % 4 * 16 & 0xffff) < one.threshold) << i;
    one.mask[run() * words + thread()] = bits;
}
