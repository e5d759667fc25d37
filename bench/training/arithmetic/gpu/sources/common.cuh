// A training step in exact arithmetic on a GPU. docs/arithmetic.md defines the order of every sum.
//
// The kernels train several runs of a network at once: the run is blockIdx.z, and no sum crosses runs. Values are
// (run, image, row, column, channel), packed filters (run, row, column, input, output), all contiguous. Sizes of blocks
// and tiles change the speed and no bit. Compile with -fmad=false: where a product and a sum are fused, it is written.
#pragma once

extern __shared__ __align__(16) float room[];  // the shared memory of a block; the launch gives its size

typedef long long Count;

__device__ inline size_t run() { return blockIdx.z; }
__device__ inline int thread() { return blockIdx.x * blockDim.x + threadIdx.x; }

// The place in a run: the steps so far over all epochs, and the first image of the next batch.
struct Clock {
    Count step, first;
    double momentum, rate;
};

// How many floats can be read at once where every `count` of them begin something: 4, 2 or 1.
__host__ __device__ constexpr int aligned(int count) { return count % 4 == 0 ? 4 : count % 2 == 0 ? 2 : 1; }

template <int COUNT>
struct alignas(4 * COUNT) Pack {
    float of[COUNT];
};

// Copy COUNT floats that begin at a multiple of ALIGNED floats.
template <int COUNT, int ALIGNED>
__device__ inline void fetch(const float *from, float (&to)[COUNT])
{
    constexpr int STEP = aligned(COUNT) < ALIGNED ? aligned(COUNT) : ALIGNED;
#pragma unroll
    for (int i = 0; i < COUNT; i += STEP) {
        const Pack<STEP> pack = *(const Pack<STEP> *)(from + i);
#pragma unroll
        for (int j = 0; j < STEP; j++) to[i + j] = pack.of[j];
    }
}

template <int COUNT, int ALIGNED>
__device__ inline void put(const float (&from)[COUNT], float *to)
{
    constexpr int STEP = aligned(COUNT) < ALIGNED ? aligned(COUNT) : ALIGNED;
#pragma unroll
    for (int i = 0; i < COUNT; i += STEP) {
        Pack<STEP> pack;
#pragma unroll
        for (int j = 0; j < STEP; j++) pack.of[j] = from[i + j];
        *(Pack<STEP> *)(to + i) = pack;
    }
}
